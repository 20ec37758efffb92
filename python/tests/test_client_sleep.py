"""Machines that sleep: a client that stands still, a server that does, and a clock that has jumped. Nothing is lost or comes twice."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from client_observing import KINDS, combined, seen_by, serve
from client_watching import Watched, watched
from support import PROGRAMS, Program, until

#: Pings that find out soon.
QUICK = "{'ping_interval': 0.3, 'ping_timeout': 0.5}"
OPTIONS = repr({"buffer_offline": True, "request_timeout": 1})


def connection(transports: str) -> str:
    return repr({"transports": transports.split(","), "wait_timeout": 1})


def note(client: Watched, text: str) -> None:
    client.tell(f"await do(client.emit('note', {text!r}))")


def notes(server: Program) -> Counter[Any]:
    """Returns how often each note has come."""
    return Counter(seen[3][0] for seen in seen_by(server) if seen[1] == "note")


def ends_well(server: Program, client: Watched, *expected: str) -> None:
    """Checks that the client is connected again, and that the server has each note once."""
    until(lambda: client.ask("say('answer', client.connected)") == [True])
    assert client.ask("say('answer', await do(client.call('echo', 7)))") == [7]
    until(lambda: set(notes(server)) >= set(expected))
    client.tell("await do(client.emit('burst', 50))")
    until(lambda: client.ask("say('answer', len(numbers))")[0] >= 50)
    assert client.ask("say('answer', numbers)") == [list(range(50))]
    client.tell("await do(client.disconnect())")
    assert client.ended() == 0
    assert notes(server) == dict.fromkeys(expected, 1)
    client.program.wait_for_end_of_output()
    names = [event[0] for event in client.events if event[0] in ("connect", "disconnect")]
    assert names == ["connect", "disconnect"] * 2


@contextlib.contextmanager
def connected_with_a_note(kind: str, transports: str) -> Iterator[tuple[Program, Watched]]:
    """Runs a server and a client of it, of whom the server has the note `before`."""
    with serve("kokanee", OPTIONS=QUICK) as server, watched(
        server.port, "kokanee", kind, OPTIONS=OPTIONS, CONNECT=connection(transports)
    ) as client:
        client.wait_for("connected")
        note(client, "before")
        until(lambda: notes(server)["before"])
        yield server, client


@combined([("sync", "polling,websocket"), ("async", "websocket")])
def test_a_client_that_was_asleep_comes_back(kind: str, transports: str) -> None:
    with connected_with_a_note(kind, transports) as (server, client):
        client.program.process.send_signal(signal.SIGSTOP)
        server.wait_for('"disconnect"')
        assert seen_by(server)[-1][3] == "ping timeout"
        # Longer than pings may be away, by its own clock, too.
        time.sleep(0.3)
        # It is emitted at once when it wakes up, whatever it notices first.
        note(client, "on waking up")
        client.program.process.send_signal(signal.SIGCONT)
        assert client.wait_for("disconnect")[1] == "transport error"
        note(client, "later")
        ends_well(server, client, "before", "on waking up", "later")


@combined([("sync", "websocket"), ("async", "polling")])
def test_a_server_that_was_asleep_is_noticed(kind: str, transports: str) -> None:
    with connected_with_a_note(kind, transports) as (server, client):
        server.process.send_signal(signal.SIGSTOP)
        try:
            client.wait_for("disconnect")
            assert client.ask("say('answer', details)") == [["ping timeout"]]
            note(client, "meanwhile")
            # Its attempts end in time.
            client.wait_for("connect_error", 2)
        finally:
            server.process.send_signal(signal.SIGCONT)
        ends_well(server, client, "before", "meanwhile")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_that_has_jumped_is_noticed_at_the_next_event(kind: str, tmp_path: pathlib.Path) -> None:
    library, clock = tmp_path / "clock.so", tmp_path / "clock"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(PROGRAMS / "clock.c")], check=True)
    clock.write_text("0")
    # The monotonic clock stood still, so that no ping is overdue for it.
    with serve("kokanee", OPTIONS="{'ping_interval': 25}") as server, watched(
        server.port, "kokanee", kind, OPTIONS=OPTIONS, LD_PRELOAD=str(library), CLOCK=str(clock)
    ) as client:
        client.wait_for("connected")
        assert client.ask("say('answer', await do(client.call('echo', 1)))") == [1]
        # Less than the time after which the server would have given it up.
        clock.write_text("30")
        note(client, "before")
        until(lambda: notes(server)["before"])
        clock.write_text("3630")
        # Clocks are compared ten times a second.
        until(lambda: client.ask("await do(client.emit('note', 'x')); say('answer', len(details))") == [1], pause=0.15)
        assert client.ask("say('answer', details)") == [["ping timeout"]]
        client.wait_for("connect", 2)
        until(lambda: client.ask("say('answer', client.connected)") == [True])
        sent = client.ask("say('answer', await do(client.call('echo', 2)))")
        assert sent == [2]
        client.tell("await do(client.disconnect())")
        assert client.ended() == 0
        assert [event[0] for event in client.events if event[0] in ("connect", "disconnect")] == [
            "connect",
            "disconnect",
        ] * 2
