"""The server with coroutine functions as handlers; `LIBRARY` is `kokanee` or `socketio`."""

from __future__ import annotations

import importlib
import os
from typing import Any

socketio: Any = importlib.import_module(os.environ["LIBRARY"])

options = {"takeover": True} if os.environ.get("TAKEOVER") else {}
sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[], **options)
app = socketio.ASGIApp(sio)


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    """Lets every client in."""


@sio.event
async def ask(sid: str, text: str) -> str:
    """Answers with the text."""
    return text


@sio.event
async def echo(sid: str, text: str) -> None:
    """Emits the text to its sender."""
    await sio.emit("echo", text, to=sid)


@sio.event
async def blast(sid: str, text: str) -> None:
    """Emits the text to everybody."""
    await sio.emit("blast", text)
