"""Connection state recovery: after a cut, socket.io gives a client back its ids and rooms, and sends what it has missed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from client_observing import KINDS, combined
from client_watching import Watched, watched
from relay import Relay, relay
from support import INTEROP, program, until

SERVER = str(INTEROP / "client" / "servers" / "socket-io-4.mjs")
#: Pings that find out soon.
PINGS = ["--ping-interval", "300", "--ping-timeout", "300"]
TICKS = 150
ENTER = "await do(client.emit('enter', 'red')); say('answer', await do(client.call('rooms')))"
IDS = "say('answer', client.recovered, client.get_sid(), client.get_sid('/chat'))"


@contextlib.contextmanager
def served(kind: str, transports: str, *options: str, **client: Any) -> Iterator[tuple[Relay, Watched]]:
    """Runs socket.io, a relay before it, and a client of two namespaces."""
    connect = {"namespaces": ["/", "/chat"], "transports": transports.split(",")}
    with (
        program("node", SERVER, "--port", "{port}", *options, PACKAGE="socketio") as server,
        relay(server.port) as between,
        watched(between.port, "kokanee", kind, CONNECT=repr(connect), OPTIONS=repr(client)) as one,
    ):
        one.wait_for("connected")
        yield between, one
        one.tell("await do(client.disconnect())")
        assert one.ended() == 0


def cut(between: Relay, client: Watched, count: int) -> None:
    """Ends the connection, and waits until both namespaces of the client know."""
    between.drop()
    client.wait_for("disconnect", count)
    until(lambda: client.ask("say('answer', client.connected)") == [False])


@combined([("sync", "websocket"), ("async", "polling,websocket")])
def test_a_cut_loses_and_repeats_nothing(kind: str, transports: str) -> None:
    with served(kind, transports, "--recovery", "60000", *PINGS, buffer_offline=True) as (between, client):
        was_recovered, *ids = client.ask(IDS)
        assert not was_recovered
        assert client.ask(ENTER) == [["red"]]
        # The server restores only namespaces in which the client has received an event.
        client.tell("await do(client.emit('say', namespace='/chat'))")
        client.wait_for("said in chat")
        client.tell(f"await do(client.call('ticks', ({TICKS}, 10)))")
        for count in (1, 2):
            until(lambda count=count: client.ask("say('answer', len(numbers))")[0] >= 20 * count)
            cut(between, client, count)
            if transports == "polling":
                # Between two polls the server sees a cut by its heartbeat alone, and until then it keeps the state.
                time.sleep(1)
            client.tell(f"await do(client.emit('note', 'offline {count}'))")
            between.mend()
            client.wait_for("connect", 2 * count + 2)
            assert client.ask(IDS) == [True, *ids]
            assert client.ask("say('answer', client.is_recovered(), client.is_recovered('/chat'))") == [True, True]
            assert client.ask("say('answer', await do(client.call('rooms')))") == [["red"]]
            assert client.ask(f"say('answer', await do(client.call('noted', 'offline {count}')))") == [1]
        until(lambda: client.ask("say('answer', len(numbers))")[0] >= TICKS)
        assert client.ask("say('answer', numbers)") == [list(range(TICKS))]


@pytest.mark.parametrize("kind", KINDS)
def test_each_namespace_is_recovered_or_not(kind: str) -> None:
    with served(kind, "websocket", "--recovery", "60000", *PINGS) as (between, client):
        _, *ids = client.ask(IDS)
        client.tell("await do(client.emit('say', 1))")
        client.wait_for("said")
        cut(between, client, 1)
        between.mend()
        client.wait_for("connect", 4)
        until(lambda: client.ask("say('answer', len(client.namespaces))") == [2])
        was_recovered, same, other = client.ask(IDS)
        assert (was_recovered, same) == (False, ids[0]) and other != ids[1]
        assert client.ask("say('answer', client.is_recovered(), client.is_recovered('/chat'))") == [True, False]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [(), ("--recovery", "100")], ids=["without recovery", "too late"])
def test_a_client_that_is_not_recovered_is_a_new_one(kind: str, options: tuple[str, ...]) -> None:
    with served(kind, "websocket", *options, *PINGS) as (between, client):
        _, *ids = client.ask(IDS)
        assert client.ask(ENTER) == [["red"]]
        cut(between, client, 1)
        # Longer than the state is kept.
        time.sleep(0.3)
        between.mend()
        client.wait_for("connect", 4)
        until(lambda: client.ask("say('answer', client.connected)") == [True])
        was_recovered, *others = client.ask(IDS)
        assert not was_recovered
        assert not set(ids) & set(others)
        assert client.ask("say('answer', await do(client.call('rooms')))") == [[]]
