"""Quart: the server is in front of the application's ASGI.

    hypercorn quart_app:app
"""

import pathlib
from typing import Any

from quart import Quart, Response, send_from_directory

import kokanee

PAGE = pathlib.Path(__file__).parent / "page"

quart = Quart(__name__, static_folder=None)
sio = kokanee.AsyncServer(async_mode="asgi")


@quart.get("/")
@quart.get("/<path:name>")
async def page(name: str = "index.html") -> Response:
    return await send_from_directory(PAGE, name)


@quart.post("/announce/<text>")
async def announce(text: str) -> tuple[str, int]:
    await sio.emit("back", text)
    return "", 204


@sio.event
async def my_message(sid: str, data: Any) -> Any:
    await sio.emit("back", data)
    return data


app = kokanee.ASGIApp(sio, quart)
