"""The server with plain functions as handlers, beside a page of Flask; `LIBRARY` is `kokanee` or `socketio`."""

from __future__ import annotations

import importlib
import os
from typing import Any

import flask

socketio: Any = importlib.import_module(os.environ["LIBRARY"])

sio = socketio.Server(async_mode=os.environ.get("MODE", "threading"), cors_allowed_origins=[])
page = flask.Flask(__name__)
app = socketio.WSGIApp(sio, page)


@sio.event
def connect(sid: str, environ: dict[str, Any]) -> None:
    """Lets every client in."""


@sio.event
def ask(sid: str, text: str) -> str:
    """Answers with the text."""
    return text


@sio.event
def echo(sid: str, text: str) -> None:
    """Emits the text to its sender."""
    sio.emit("echo", text, to=sid)


@sio.event
def blast(sid: str, text: str) -> None:
    """Emits the text to everybody."""
    sio.emit("blast", text)


@page.get("/page")
def show() -> str:
    """Returns a page."""
    return "<!doctype html><title>Kokanee</title><p>Hello</p>"
