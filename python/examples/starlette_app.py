"""Starlette: the server is mounted at a path.

    uvicorn starlette_app:app        # the page is at /chat/
"""

import pathlib
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

import kokanee

PAGE = pathlib.Path(__file__).parent / "page"

sio = kokanee.AsyncServer(async_mode="asgi")


@sio.event
async def my_message(sid: str, data: Any) -> Any:
    await sio.emit("back", data)
    return data


async def home(request: Request) -> RedirectResponse:
    return RedirectResponse("/chat/")


# Below the mount, the server's path is /chat/socket.io.
chat = kokanee.ASGIApp(sio, static_files={"/": f"{PAGE}/"})
app = Starlette(routes=[Route("/", home), Mount("/chat", chat)])
