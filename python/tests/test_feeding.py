"""A WebSocket that an ASGI host feeds waits while the engine has no room for its messages."""

from __future__ import annotations

import asyncio
from typing import Any

from kokanee._asgi import _Fed


class Channel:
    """Stands for the engine's end: it has room for so many messages."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.fed: list[Any] = []

    def feed(self, message: Any) -> bool:
        self.fed.append(message)
        return len(self.fed) < self.room

    def take(self) -> list[Any]:
        return []


class Loop:
    """Stands for the loop of the server."""

    flushes = False

    def flush_soon(self) -> None:
        self.flushes = True


def test_nothing_is_received_until_there_is_room_again() -> None:
    async def run() -> None:
        received = 0

        async def receive() -> Any:
            nonlocal received
            received += 1
            if received > 4:
                return {"type": "websocket.disconnect"}
            return {"type": "websocket.receive", "text": str(received)}

        async def send(message: Any) -> None:
            raise AssertionError(message)

        loop: Any = Loop()
        channel: Any = Channel(2)
        fed = _Fed(loop, channel, send, {})
        feeding = asyncio.ensure_future(fed.feed(receive))
        for _ in range(10):
            await asyncio.sleep(0)
        assert channel.fed == ["1", "2"] and received == 2 and loop.flushes
        channel.room = 100
        fed.ready(asyncio.ensure_future)
        # An event that says the same twice does no harm.
        fed.ready(asyncio.ensure_future)
        await asyncio.wait_for(feeding, 10)
        assert channel.fed == ["1", "2", "3", "4"] and received == 5

    asyncio.run(run())
