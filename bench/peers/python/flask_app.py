"""The server as an extension of Flask: `LIBRARY` is `kokanee`, for `kokanee.flask`, or `socketio`, for Flask-SocketIO."""

from __future__ import annotations

import importlib
import os
from typing import Any

import flask

extension: Any = importlib.import_module({"kokanee": "kokanee.flask", "socketio": "flask_socketio"}[os.environ["LIBRARY"]])

app = flask.Flask(__name__)
app.secret_key = "secret"
socketio = extension.SocketIO(app, async_mode=os.environ.get("MODE", "threading"), cors_allowed_origins=[])


@socketio.event
def connect() -> None:
    """Lets every client in."""


@socketio.event
def ask(text: str) -> str:
    """Answers with the text."""
    return text


@socketio.event
def echo(text: str) -> None:
    """Emits the text to its sender."""
    extension.emit("echo", text)


@socketio.event
def blast(text: str) -> None:
    """Emits the text to everybody."""
    extension.emit("blast", text, broadcast=True)
