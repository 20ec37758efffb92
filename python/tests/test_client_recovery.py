"""Connection state recovery: after a cut, socket.io gives a client back its ids and rooms, and sends what it has missed."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from client_observing import KINDS, combined
from client_watching import Watched, watched
from relay import Relay, relay
from support import INTEROP, program, until

from kokanee import _recovery

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


#: Handlers of an event with a value, and what they get of it.
HANDLERS = [
    ("client.on('said', lambda value: say('got', value))", ["a value"]),
    ("client.once('said', lambda value: say('got', value))", ["a value"]),
    ("client.on('said', lambda value, more=None: say('got', value, more))", ["a value", None]),
    ("client.on('said', lambda *args: say('got', *args))", ["a value"]),
    ("client.off('said'); client.on('*', lambda event, value: say('got', event, value))", ["said", "a value"]),
    ("client.off('*'); client.on_any(lambda event, *args: say('got', event, *args))", ["said", "a value"]),
]


@pytest.mark.parametrize("kind", KINDS)
def test_handlers_do_not_see_the_offset_of_a_server_that_recovers(kind: str) -> None:
    with served(kind, "websocket", "--recovery", "60000") as (_, client):
        for handler, expected in HANDLERS:
            assert client.ask(f"{handler}; await do(client.emit('say', 'a value'))", "got") == expected, handler
        client.tell("client.off_any()")
        base = "__import__('kokanee')." + ("ClientNamespace" if kind == "sync" else "AsyncClientNamespace")
        methods = "{'on_said': lambda self, value: say('got', value)}"
        client.tell(f"client.off('said', namespace='/chat'); client.register_namespace(type('Chat', ({base},), {methods})('/chat'))")
        assert client.ask("await do(client.emit('say', 'a value', namespace='/chat'))", "got") == ["a value"]
        # With an acknowledgement comes no offset, and what the handler returns is the answer.
        client.tell("client.on('asked', lambda value: value + '!'); client.on('answered', lambda value: say('got', value))")
        assert client.ask("await do(client.emit('call me', ('asked', 'Q84fHBt')))", "got") == ["Q84fHBt!"]
        # Who has a parameter for it gets it.
        client.tell("client.on('said', lambda value, offset: say('got', value, offset))")
        value, offset = client.ask("await do(client.emit('say', 'a value'))", "got")
        assert value == "a value" and re.fullmatch(r"[\w-]{7}(\.[\w-]+)?", offset)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_does_not_recover_appends_nothing(kind: str) -> None:
    with served(kind, "websocket") as (_, client):
        client.tell("client.on('said', lambda *args: say('got', *args))")
        text = client.ask("import time; say('answer', time.time())")[0]
        assert client.ask(f"await do(client.emit('say', (1, {_base64(text)!r})))", "got") == [1, _base64(text)]


def _base64(seconds: float) -> str:
    """Returns a time as the offsets of JavaScript's adapter begin."""
    number, text = int(seconds * 1000), ""
    while number:
        number, digit = divmod(number, 64)
        text = _recovery._DIGITS[digit] + text
    return text


def test_what_may_be_a_value_stays_with_the_handlers_that_take_it() -> None:
    now = _base64(time.time())
    for offset in (now, now + ".2A", "1700000000000-0", "65f1a2b3c4d5e6f708192a3b"):
        assert _recovery.fitted(lambda *args: None, _recovery.marked((1, offset))) == (1,)
        assert _recovery.fitted(lambda first, second: None, _recovery.marked((1, offset))) == (1, offset)
    # A volatile event has no offset.
    for value in ("changed", "two words", "", _base64(time.time() - 10 * 365 * 86400)):
        assert _recovery.fitted(lambda *args: None, _recovery.marked((1, value))) == (1, value)
        assert _recovery.fitted(lambda first: None, _recovery.marked((1, value))) == (1,)
    assert _recovery.marked((1, 2)) == (1, 2)
    assert _recovery.marked(()) == ()
