"""An application of FastAPI in the process of a test, on uvicorn, and published clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import socketio
import uvicorn


class Running:
    """Is an application that is served."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port

    @contextlib.asynccontextmanager
    async def client(self, query: str = "", **options: Any) -> AsyncIterator[socketio.AsyncClient]:
        """Gives a client that is connected, and disconnects it at the end."""
        client = socketio.AsyncClient(reconnection=False)
        options.setdefault("transports", ["websocket"])
        await client.connect(f"{self.url}?{query}", wait_timeout=30, **options)
        try:
            yield client
        finally:
            await client.disconnect()

    async def refusal(self, namespace: str = "/", query: str = "", **options: Any) -> Any:
        """Returns what a client is told that a namespace refuses."""
        client = socketio.AsyncClient(reconnection=False)
        told: asyncio.Queue[Any] = asyncio.Queue()
        client.on("connect_error", told.put, namespace=namespace)
        try:
            with contextlib.suppress(socketio.exceptions.ConnectionError):
                await client.connect(
                    f"{self.url}?{query}", namespaces=[namespace], transports=["websocket"], wait_timeout=30, **options
                )
            return await asyncio.wait_for(told.get(), 30)
        finally:
            await client.disconnect()


@contextlib.asynccontextmanager
async def running(app: Any) -> AsyncIterator[Running]:
    """Serves an application until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        yield Running(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, 30)


async def settled(question: Any) -> None:
    """Waits until the answer to a question is true."""
    async with asyncio.timeout(30) if hasattr(asyncio, "timeout") else contextlib.nullcontext():
        while not question():
            await asyncio.sleep(0.005)
