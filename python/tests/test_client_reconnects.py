"""Clients whose server restarts, goes away, or cannot be reached any more: they come back, or say that they gave up."""

from __future__ import annotations

import collections
import contextlib
import json
import subprocess
import sys
from typing import Any

import pytest
from client_observing import KINDS, combined, seen_by, serve
from client_watching import watched
from relay import relay
from support import CANNOT, LIMIT, PROGRAMS, Program, free_port, until

#: Tests whose results are those of python-socketio: it runs too with `--full`.
EACH_PACKAGE = pytest.mark.parametrize("package", ["kokanee", pytest.param("socketio", marks=pytest.mark.full)])
EACH_KIND = pytest.mark.parametrize("kind", KINDS)
#: Pings that find out soon.
QUICK = "{'ping_interval': 0.3, 'ping_timeout': 0.7}"


def after_a_restart(package: str, kind: str, transports: str) -> Any:
    """Returns what a client sees whose server dies, and then runs again on the same port."""
    port = free_port()
    connect = repr({"transports": transports.split(","), "namespaces": ["/", "/chat"]})
    with contextlib.ExitStack() as stack:
        with serve(port=port) as server:
            client = stack.enter_context(watched(port, package, kind, CONNECT=connect))
            client.wait_for("connected")
            client.tell("await do(client.emit('say', 1))")
            client.wait_for("said")
            server.kill()
            client.wait_for("disconnect")
        with serve(port=port) as server:
            client.wait_for("connect", 4)
            until(lambda: client.ask("say('answer', sorted(client.namespaces))") == [["/", "/chat"]])
            answer = client.ask("say('answer', await do(client.call('echo', 2)), counts)")
            # What was returned last is what is sent.
            sent = [{"count": answer[1]["auth"]}] * 2
            until(lambda: [what[3] for what in seen_by(server) if what[1] == "connect"] == sent)
            client.tell("await do(client.disconnect())")
            client.wait_for("waited")
            assert client.ended() == 0
    return {"events": [event for event in client.events if event[0] not in ("answer", "connected")], "answer": answer}


@combined([("sync", "polling"), ("sync", "polling,websocket"), ("async", "websocket")])
@EACH_PACKAGE
def test_a_client_comes_back_after_a_restart(kind: str, package: str, transports: str) -> None:
    if transports == "polling" and package == "socketio":
        pytest.skip(f"{CANNOT}its client waits for a poll that its server leaves unanswered")
    seen = after_a_restart(package, kind, transports)
    joined, events = [["connect"], ["connect", "/chat"]], seen["events"]
    # Namespaces join side by side.
    assert sorted(events[:2]) == sorted(events[4:6]) == joined
    assert events[2:4] == [["said", 1], ["disconnect", "transport error"]]
    assert events[6:] == [["disconnect", "client disconnect"], ["__disconnect_final"], ["waited", False]]
    answer, counts = seen["answer"]
    # Asked anew for each connection; this package's clients ask for each attempt.
    assert answer == 2 and counts["auth"] >= 2


#: What a client sees whose server goes and does not come back.
GONE = [["connect"], ["disconnect", "transport error"], ["__disconnect_final"], ["waited", False]]


@EACH_KIND
@EACH_PACKAGE
@pytest.mark.parametrize(("options", "attempts"), [("{'reconnection_attempts': 2}", 2), ("{'reconnection': False}", 0)])
def test_a_client_gives_up_after_its_attempts(kind: str, package: str, options: str, attempts: int) -> None:
    with serve() as server, watched(server.port, package, kind, OPTIONS=options) as client:
        client.wait_for("connected")
        server.kill()
        assert client.ended() == 0
        client.program.wait_for_end_of_output()
        assert [event for event in client.events if event[0] != "connected"] == GONE
        # Each attempt that failed is said.
        assert client.program.output.count("connect_error") == attempts


@EACH_KIND
def test_the_first_attempt_is_repeated_if_asked_to(kind: str) -> None:
    port = free_port()
    with watched(port, "kokanee", kind, CONNECT="{'retry': True}") as client:
        client.wait_for("connect_error", 2)
        with serve(port=port):
            client.wait_for("connected")
            assert client.ask("say('answer', await do(client.call('echo', 5)))") == [5]
            client.tell("await do(client.disconnect())")
            assert client.ended() == 0


@EACH_KIND
@EACH_PACKAGE
def test_shutdown_ends_the_attempts(kind: str, package: str) -> None:
    with serve() as server, watched(server.port, package, kind) as client:
        client.wait_for("connected")
        server.kill()
        client.wait_for("connect_error", 2)
        client.tell("await do(client.shutdown())")
        client.wait_for("waited")
        assert client.ended() == 0
        assert [event for event in client.events if event[0] != "connected"] == GONE


@EACH_KIND
def test_a_client_does_not_come_back_to_a_server_that_sent_it_away(kind: str) -> None:
    with serve() as server, watched(server.port, "kokanee", kind) as client:
        client.wait_for("connected")
        client.tell("await do(client.emit('kick'))")
        assert client.ended() == 0
        client.program.wait_for_end_of_output()
    assert client.events[-3:] == [["disconnect", "server disconnect"], ["__disconnect_final"], ["waited", False]]


@combined([("sync", "polling"), ("async", "websocket")], ["polling", "websocket"])
def test_a_connection_that_says_nothing_any_more_is_noticed(kind: str, transports: str) -> None:
    options = repr({"request_timeout": 1})
    connect = repr({"transports": [transports], "wait_timeout": 2})
    with (
        serve("kokanee", OPTIONS=QUICK) as server,
        relay(server.port) as between,
        watched(between.port, "kokanee", kind, OPTIONS=options, CONNECT=connect) as client,
    ):
        client.wait_for("connected")
        between.cut()
        client.wait_for("disconnect")
        # Its attempts hear nothing either.
        client.wait_for("connect_error")
        between.mend()
        client.wait_for("connect", 2)
        until(lambda: client.ask("say('answer', client.connected)") == [True])
        assert client.ask("say('answer', await do(client.call('echo', 6)))") == [6]
        client.tell("await do(client.disconnect())")
        assert client.ended() == 0


@EACH_KIND
def test_a_handler_that_blocks_does_not_end_the_connection(kind: str) -> None:
    with serve("kokanee", OPTIONS=QUICK) as server, watched(server.port, "kokanee", kind) as client:
        client.wait_for("connected")
        # Longer than interval and timeout of the pings together.
        client.tell("await do(client.emit('emit', ('block', 1.5)))")
        client.wait_for("blocked")
        assert client.ask("say('answer', await do(client.call('echo', 8)))") == [8]
        assert "disconnect" not in [event[0] for event in client.events]
        client.tell("await do(client.disconnect())")
        assert client.ended() == 0
    assert server.output.count('"connect"') == 1


@EACH_KIND
@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.full)])
def test_a_flood_comes_in_order_and_leaves_nothing(kind: str, count: int) -> None:
    # Events wait where they are while there are too many, and pings behind them.
    pings = "{'ping_interval': 0.3, 'ping_timeout': 20}"
    # Handlers on threads run side by side, unless they are asked not to.
    options = "{'async_handlers': False}" if kind == "sync" else "{}"
    memory = "say('answer', int(open('/proc/self/statm').read().split()[1]) * 4 // 1024, threading.active_count())"
    with serve("kokanee", OPTIONS=pings) as server, watched(server.port, "kokanee", kind, OPTIONS=options) as client:
        client.wait_for("connected")
        before, threads = client.ask(memory)
        client.tell(f"await do(client.emit('burst', {count}))")
        until(lambda: client.ask("say('answer', len(numbers))") == [count], seconds=6 * LIMIT, pause=0.2)
        assert client.ask("say('answer', numbers == list(range(len(numbers)))); numbers.clear()") == [True]
        assert client.ask("say('answer', await do(client.call('echo', 9)))") == [9]
        after, threads_after = client.ask(memory)
        assert "disconnect" not in [event[0] for event in client.events]
        # Of what was received nothing is kept: 100,000 numbers are 4 MiB.
        assert after - before < 64, (before, after)
        assert threads_after <= threads + 2
        client.tell("await do(client.disconnect())")
        assert client.ended() == 0


def is_spread(tries: list[float]) -> bool:
    """Returns whether clients have tried evenly between half of the delay and one and a half of it, not all at once."""
    early, late = sum(each < 0.75 for each in tries), sum(each > 1.25 for each in tries)
    tenths = collections.Counter(int(each * 10) for each in tries)
    return min(early, late) > len(tries) / 10 and max(tenths.values()) < len(tries) / 2


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.full)])
def test_many_clients_come_back_one_after_the_other(count: int) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve("kokanee", port=port))
        process = subprocess.Popen(
            [sys.executable, "client_many.py", str(port), str(count)],
            cwd=PROGRAMS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        clients = Program(process, port)
        stack.callback(clients.kill)
        clients.wait_for("UP", seconds=4 * LIMIT)
        for attempt in (1, 2, 3):
            server.kill()
            clients.wait_for("DOWN", attempt, seconds=2 * LIMIT)
            server = stack.enter_context(serve("kokanee", port=port))
            found = json.loads(clients.wait_for("BACK", attempt, seconds=4 * LIMIT).partition(" ")[2])
            assert found["clients"] == len(found["tries"]) == count
            assert found["threads"] < 50, found
            # No client without jitter tries early. A machine that stands still may gather those with it, once.
            if is_spread(found["tries"]):
                return
        raise AssertionError(found["tries"])
