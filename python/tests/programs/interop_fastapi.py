"""`kokanee.fastapi` with the events that tests/interop/client/servers/events.mjs lists, on uvicorn or, with `own`, on our host."""

import asyncio
import collections
import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

import kokanee
from kokanee.fastapi import Socket, SocketIO, SocketRouter

app = FastAPI()
# One event of a client after the other, as in JavaScript.
sio = SocketIO(app, async_handlers=False, max_http_buffer_size=2_000_000, ping_interval=1)
notes: collections.Counter[str] = collections.Counter()


def serve(router: Any, namespace: str) -> None:
    """Registers the events of a namespace."""

    @router.on("connect")
    async def connect(socket: Socket, auth: Any = None) -> None:
        if namespace == "/private" and (not isinstance(auth, dict) or auth.get("token") != "kokanee"):
            raise kokanee.exceptions.ConnectionRefusedError("not authorized", {"code": 401, "hint": "say the token"})
        socket.data["numbers"] = {"received": 0, "error": None}

    @router.on("disconnect")
    async def disconnect(reason: str) -> None:
        notes[f"disconnect {namespace} {reason}"] += 1

    @router.on("echo")
    async def echo(*args: Any):  # type: ignore[no-untyped-def]
        # `tuple[Any, ...]` would be one list.
        return args

    @router.on("say")
    async def say(socket: Socket, *args: Any) -> None:
        await socket.emit("said", args)

    @router.on("call me")
    async def call_me(socket: Socket, name: str, *args: Any) -> None:
        async def answered(*answer: Any) -> None:
            await socket.emit("answered", answer)

        await socket.emit(name, args, callback=answered)

    @router.on("burst")
    async def burst(socket: Socket, count: int) -> tuple[()]:
        for number in range(count):
            await socket.emit("number", number)
        return ()

    @router.on("number")
    async def number(socket: Socket, value: int) -> None:
        seen = socket.data["numbers"]
        if value != seen["received"] and seen["error"] is None:
            seen["error"] = f"{value} instead of {seen['received']}"
        seen["received"] = value + 1

    @router.on("report")
    async def report(socket: Socket) -> dict[str, Any]:
        return socket.data["numbers"]

    @router.on("note")
    async def note(key: str) -> None:
        notes[key] += 1

    @router.on("noted")
    async def noted(key: str) -> int:
        return notes[key]

    @router.on("transport")
    async def transport(socket: Socket) -> str:
        return socket.transport

    @router.on("handshake")
    async def handshake(socket: Socket) -> dict[str, Any]:
        return {"auth": socket.auth, "query": dict(socket.query_params), "headers": dict(socket.headers)}

    @router.on("disconnect me")
    async def disconnect_me(socket: Socket, close: bool = False) -> None:
        await socket.disconnect()


serve(sio, "/")
for name in ("/chat", "/private"):
    router = SocketRouter(name)
    serve(router, name)
    sio.include_router(router)


async def main() -> None:
    config = uvicorn.Config(app, port=int(os.environ["PORT"]), log_level="warning", timeout_graceful_shutdown=1)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    if "own" in sys.argv:
        kokanee.run(app, host="127.0.0.1", port=int(os.environ["PORT"]))
    else:
        asyncio.run(main())
