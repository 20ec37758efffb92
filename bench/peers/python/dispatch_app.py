"""The programs that `dispatch.py` measures: `dispatch_app.py KIND PORT`, where a client (`client`, `async-client`) connects to that port.

Each handles the event `echo`, and emits it back. With `REGION` in the environment, handlers say when they emit, so that callgrind counts in
one region alone: see `marks.c`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
import time
from typing import Any, Callable

import kokanee

#: The regions: within `emit`, and everything else.
OTHER, SENDING = range(2)
#: Events that a client keeps in flight.
IN_FLIGHT, CONNECTIONS = 20, int(os.environ.get("CONNECTIONS", "50"))


def no_mark(region: int) -> None:
    """Does nothing."""


MARKS = "REGION" in os.environ
at: Callable[[int], None] = importlib.import_module("marks").at if MARKS else no_mark


def make_server() -> Any:
    """Returns a `Server` that echoes."""
    sio = kokanee.Server(async_mode="threading", cors_allowed_origins=[])

    def echo(sid: str, text: str) -> None:
        sio.emit("echo", text, to=sid)

    def marked(sid: str, text: str) -> None:
        at(SENDING)
        sio.emit("echo", text, to=sid)
        at(OTHER)

    sio.on("echo", marked if MARKS else echo)
    return sio


def make_async_server(**options: Any) -> Any:
    """Returns an `AsyncServer` that echoes."""
    sio = kokanee.AsyncServer(async_mode="asgi", cors_allowed_origins=[], **options)

    async def echo(sid: str, text: str) -> None:
        await sio.emit("echo", text, to=sid)

    async def marked(sid: str, text: str) -> None:
        at(SENDING)
        await sio.emit("echo", text, to=sid)
        at(OTHER)

    sio.on("echo", marked if MARKS else echo)
    return sio


def serve_def(port: int) -> None:
    """Serves functions on threads, on the package's own host."""
    kokanee.run(kokanee.WSGIApp(make_server()), port=port)


def serve_async(port: int) -> None:
    """Serves coroutine functions on the package's own host."""
    kokanee.run(kokanee.ASGIApp(make_async_server()), port=port)


def serve_taken(port: int) -> None:
    """Serves coroutine functions under uvicorn, whose connections the engine takes over."""
    import uvicorn

    app: Any = kokanee.ASGIApp(make_async_server(takeover=True))
    uvicorn.run(app, port=port, log_level="error", loop="uvloop", http="httptools", ws="websockets-sansio")


class Count:
    """Counts echoes, and ends the process after as many as `MESSAGES` says."""

    def __init__(self) -> None:
        self._left = int(os.environ.get("MESSAGES", "0"))
        self.ended = threading.Event()

    def add(self) -> None:
        """Counts one."""
        self._left -= 1
        if self._left == 0:
            self.ended.set()


def end(count: Count, before: float) -> None:
    """Prints the CPU time of the messages in nanoseconds, and ends the process: the ends of connections are not measured."""
    print(round(1e9 * (time.process_time() - before)), flush=True)
    os._exit(0)


def connect(port: int) -> None:
    """Echoes with `Client`s: the next event leaves when its predecessor has come back."""
    count, clients = Count(), []
    for _ in range(CONNECTIONS):
        sio = kokanee.Client()

        def echo(data: str, sio: Any = sio) -> None:
            sio.emit("echo", data)
            count.add()

        def marked(data: str, sio: Any = sio) -> None:
            at(SENDING)
            sio.emit("echo", data)
            at(OTHER)
            count.add()

        sio.on("echo", marked if MARKS else echo)
        sio.connect(f"http://127.0.0.1:{port}", transports=["websocket"])
        clients.append(sio)
    before = time.process_time()
    for _ in range(IN_FLIGHT):
        for sio in clients:
            sio.emit("echo", "x" * 64)
    count.ended.wait()
    end(count, before)


async def connect_async(port: int) -> None:
    """Echoes with `AsyncClient`s."""
    count, clients = Count(), []
    for _ in range(CONNECTIONS):
        sio = kokanee.AsyncClient()

        async def echo(data: str, sio: Any = sio) -> None:
            await sio.emit("echo", data)
            count.add()

        async def marked(data: str, sio: Any = sio) -> None:
            at(SENDING)
            await sio.emit("echo", data)
            at(OTHER)
            count.add()

        sio.on("echo", marked if MARKS else echo)
        await sio.connect(f"http://127.0.0.1:{port}", transports=["websocket"])
        clients.append(sio)
    before = time.process_time()
    for _ in range(IN_FLIGHT):
        for sio in clients:
            await sio.emit("echo", "x" * 64)
    while not count.ended.is_set():
        await asyncio.sleep(0.05)
    end(count, before)


def main(kind: str, port: int) -> None:
    """Runs a program until it is ended, or, as a client, until it has its messages."""
    if kind == "async-client":
        asyncio.run(connect_async(port))
    else:
        {"def": serve_def, "async": serve_async, "taken": serve_taken, "client": connect}[kind](port)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
