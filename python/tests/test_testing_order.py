"""What a test sees is complete whenever a method of a client returns: handlers that take their time, answers, broadcasts to others."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

import pytest

import kokanee
from kokanee.testing import TestClient, virtual_time


def plain() -> Any:
    sio = kokanee.Server()

    @sio.event
    def news(sid: str, number: int) -> Any:
        time.sleep(random.random() * 0.002)
        sio.emit("news", number)
        return sio.call("question", number, to=sid) if number % 3 == 0 else number

    return sio


def of_asyncio() -> Any:
    sio = kokanee.AsyncServer(async_mode="asgi")

    @sio.event
    async def news(sid: str, number: int) -> Any:
        await asyncio.to_thread(time.sleep, random.random() * 0.002)
        await sio.emit("news", number)
        return await sio.call("question", number, to=sid) if number % 3 == 0 else number

    return sio


@pytest.mark.parametrize("is_virtual", [False, True])
@pytest.mark.parametrize("make", [plain, of_asyncio])
def test_all_has_arrived_when_a_method_returns(make: Any, is_virtual: bool) -> None:
    sio = make()
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            clock = stack.enter_context(virtual_time()) if is_virtual else None
            clients = [stack.enter_context(TestClient(sio)) for _ in range(4)]
            for client in clients:
                client.on("question", lambda number: number)
            for number in range(12):
                client = random.choice(clients)
                if number % 2:
                    client.emit("news", number)
                else:
                    assert client.call("news", number) == number
                assert [len(each.received) for each in clients] == [number + 1] * 4
                if clock is not None:
                    clock.advance(random.choice([0.001, 1, 26]))
            expected = list(range(12))
            assert all([event.data for event in each.received] == expected for each in clients)
