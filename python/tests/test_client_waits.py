"""Whatever waits for the server has an end, which says why: no call, no emit and no connect waits for what will not come."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support import LIMIT, Program, program, run, until
from test_client import connected, url_of
from test_client_raw import failure_of

import kokanee
from kokanee import exceptions


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    """Returns a server."""
    with program("serving_clients.py", PACKAGE="kokanee") as running:
        yield running


class Picky:
    """Does not read some texts."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(text: str) -> Any:
        if "poison" in text:
            raise ValueError("poison")
        return json.loads(text)


class PickyPacket(kokanee.packet.Packet):
    json = Picky


CANNOT_BE_READ = "the acknowledgement cannot be read: ValueError: poison"


def test_a_call_whose_answer_cannot_be_read_ends(server: Program, caplog: pytest.LogCaptureFixture) -> None:
    with connected(url_of(server), client={"serializer": PickyPacket}) as sio:
        error = failure_of(sio.call, "echo", "poison", None, None).get(timeout=LIMIT)
        assert (type(error), str(error)) == (exceptions.TimeoutError, CANNOT_BE_READ)
        assert isinstance(error.__cause__, ValueError)
        with caplog.at_level(logging.ERROR, "socketio.client"):
            sio.emit("echo", "poison", callback=lambda *args: None)
            until(lambda: any("cannot be read" in record.message for record in caplog.records))
        assert sio.call("echo", 1) == 1
        assert not sio._callbacks


@pytest.mark.asyncio
async def test_a_call_of_asyncio_whose_answer_cannot_be_read_ends(server: Program) -> None:
    sio = kokanee.AsyncClient(serializer=PickyPacket)
    await sio.connect(url_of(server))
    with pytest.raises(exceptions.TimeoutError) as error:
        await asyncio.wait_for(sio.call("echo", "poison", timeout=None), LIMIT)
    assert str(error.value) == CANNOT_BE_READ
    assert await sio.call("echo", 1) == 1
    await sio.disconnect()


def test_a_child_of_the_process_ends_its_waits(server: Program) -> None:
    done = run("forking_waits.py", URL=url_of(server))
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == [
        "BadNamespaceError: / is not a connected namespace.",
        "BadNamespaceError: / is not a connected namespace.",
        "DisconnectedError: ",
        "DisconnectedError: ",
        "child",
        "parent simple",
    ]


def test_another_event_loop_is_refused_where_it_would_wait(server: Program) -> None:
    sio = kokanee.AsyncClient()
    results: queue.Queue[Any] = queue.Queue()
    ended = threading.Event()

    async def main() -> None:
        await sio.connect(url_of(server))
        results.put(None)
        await asyncio.to_thread(ended.wait, LIMIT)
        await sio.disconnect()

    thread = threading.Thread(target=asyncio.run, args=[main()])
    thread.start()
    try:
        results.get(timeout=LIMIT)
        for wait in (lambda: sio.call("echo", 1), lambda: sio.join("/other"), sio.wait):
            with pytest.raises(RuntimeError, match="on another event loop"):
                asyncio.run(wait())
    finally:
        ended.set()
        thread.join(LIMIT)


def test_an_emit_that_waits_says_that_the_client_was_closed() -> None:
    with program("serving_clients.py", PACKAGE="kokanee") as server:
        sio = kokanee.Client()
        sio.connect(url_of(server))
        server.process.send_signal(signal.SIGSTOP)
        try:
            failures = failure_of(lambda: [sio.emit("echo", "x" * 500_000) for _ in range(200)])
            until(lambda: sio._callbacks)
            sio._stop(0)
            error = failures.get(timeout=LIMIT)
        finally:
            server.process.send_signal(signal.SIGCONT)
    assert isinstance(error, exceptions.SocketIOError)
    assert str(error) in ("the client is closed", "/ is not a connected namespace.")


@pytest.mark.asyncio
async def test_the_error_of_what_the_engine_has_done_reaches_the_caller(server: Program) -> None:
    sio = kokanee.AsyncClient()
    await sio.connect(url_of(server))

    class Engine:
        """Says that events have failed."""

        def emit(self, namespace: str, event: str, data: Any, call: int) -> int:
            sio._handle((kokanee._engine.CLIENT_DONE, 0, call, "the socket is disconnected"))
            return 0

        def when_room(self, namespace: str, call: int) -> None:
            sio._handle((kokanee._engine.CLIENT_DONE, 0, call, "the client is closed"))

    with pytest.raises(exceptions.SocketIOError, match="the socket is disconnected"):
        await sio._emit_later(Engine(), "/", "x", None)
    with pytest.raises(exceptions.SocketIOError, match="the client is closed"):
        await sio._wait_for_room(Engine(), "/")
    await sio.disconnect()
