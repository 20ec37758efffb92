"""FastAPI: the server is in front of the application's ASGI.

    uvicorn fastapi_app:app
"""

import pathlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

import kokanee

PAGE = pathlib.Path(__file__).parent / "page"


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncGenerator[None, None]:
    api.state.messages = 0
    yield


api = FastAPI(lifespan=lifespan)
sio = kokanee.AsyncServer(async_mode="asgi")


@api.get("/count")
async def count() -> dict[str, int]:
    return {"messages": api.state.messages}


@api.post("/announce/{text}", status_code=204)
async def announce(text: str) -> None:
    await sio.emit("back", text)


api.mount("/", StaticFiles(directory=PAGE, html=True))


@sio.event
async def my_message(sid: str, data: Any) -> Any:
    api.state.messages += 1
    await sio.emit("back", data)
    return data


app = kokanee.ASGIApp(sio, api)
