"""What handlers may do and what clients then see: python-socketio's rules, and those where this package differs.

The clients are python-socketio's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import socketio
import websocket
from support import Program, program, until


@pytest.fixture(params=["sync", "async"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    with program("semantics.py", KIND=request.param) as running:
        yield running


@contextlib.contextmanager
def client(
    server: Program, auth: Any = None, namespaces: Any = "/", transport: str = "websocket"
) -> Iterator[socketio.Client]:
    one = socketio.Client(reconnection=False)
    one.events = []
    for namespace in [namespaces] if isinstance(namespaces, str) else namespaces:
        one.on("*", lambda event, *args: one.events.append([event, *args]), namespace)
    url = f"http://127.0.0.1:{server.port}"
    try:
        one.connect(
            url, auth=auth, namespaces=namespaces, transports=[transport], wait_timeout=20
        )
        yield one
    finally:
        one.disconnect()


def refusal(server: Program, auth: Any, namespace: str = "/") -> Any:
    """Returns what a client gets that is refused."""
    one = socketio.Client(reconnection=False)
    errors: list[Any] = []
    one.on("connect_error", lambda data: errors.append(data), namespace=namespace)
    with pytest.raises(socketio.exceptions.ConnectionError):
        one.connect(
            f"http://127.0.0.1:{server.port}",
            auth=auth,
            namespaces=namespace,
            transports=["websocket"],
            wait_timeout=20,
        )
    one.disconnect()
    return errors[0]


def wait_for_event(one: socketio.Client, name: str) -> list[Any]:
    return until(lambda: next((event for event in one.events if event[0] == name), None))


def test_refusals_reach_the_client_and_leave_nothing(server: Program) -> None:
    with client(server) as watcher:
        before = watcher.call("state")
        rejected = {"message": "Connection rejected by server"}
        assert refusal(server, {"do": "false"}) == rejected
        assert refusal(server, {"do": "disconnect"}) == rejected
        assert refusal(server, {"do": "refused"}) == {"message": "no entry", "data": [1, 2]}
        assert refusal(server, {"do": "builtin"}) == {
            "message": "Connection refused by server"
        }
        assert refusal(server, {"do": "raise"}) == {"message": "internal error"}
        assert refusal(server, {"do": "cancel"})["message"]
        names = ("rooms", "clients", "environs", "sockets", "sessions")
        expected = {name: before[name] for name in names}

        def is_as_before() -> bool:
            state = watcher.call("state")
            return {name: state[name] for name in names} == expected

        until(is_as_before)


def test_other_false_values_let_the_client_in(server: Program) -> None:
    with client(server, {"do": "zero"}) as one:
        assert one.call("list") == ["a", "b"]


def test_what_a_connect_handler_emits_comes_after_the_answer(server: Program) -> None:
    with client(server, {"do": "emit"}) as one:
        assert wait_for_event(one, "second") == ["second"]
        assert one.events == [["first", "a", 1], ["second"]]
        seen = one.call("state")["seen"]
        assert ["rooms", True] in seen
        assert ["connect", {"do": "emit"}, "/socket.io/", False] in seen


def test_disconnect_handlers_see_rooms_session_and_environ(server: Program) -> None:
    with client(server) as watcher:
        with client(server, {"do": "emit"}):
            pass
        # Its client says goodbye and hangs up at once.
        reasons = ("client disconnect", "transport close")
        expected = [["disconnect", reason, 2, {"name": "early"}, True] for reason in reasons]
        until(lambda: any(each in watcher.call("state")["seen"] for each in expected))
        with client(server) as other:
            other.call("session", {"by": "server"})
            last, is_connected = watcher.call("bye", other.get_sid())
            assert last == ["disconnect", "server disconnect"]
            assert not is_connected
            until(lambda: not other.connected)


def test_nothing_stays_of_a_client_whose_disconnect_handler_raises(server: Program) -> None:
    with client(server) as watcher:
        before = watcher.call("state")["rooms"]
        with client(server) as one:
            one.call("enter", "a room")
            one.call("session", {"raise": True})
        until(lambda: watcher.call("state")["rooms"] == before)
        state = watcher.call("state")
        assert (state["clients"], state["sessions"]) == (1, 0)


def test_the_handlers_parameters_are_counted_and_no_handler_runs_twice(server: Program) -> None:
    with client(server) as watcher:
        before = watcher.call("state")["counts"]
        # Two parameters, though the client sends auth.
        with client(server, {"token": 1}, "/two") as one:
            assert one.call("known", namespace="/two") == ["known", "/two"]
        assert refusal(server, None, "/typeerror") == {"message": "internal error"}

        def counted(name: str) -> int:
            return watcher.call("state")["counts"].get(name, 0) - before.get(name, 0)

        until(lambda: counted("left two") == 1)
        assert (counted("two"), counted("typeerror")) == (1, 1)


def test_answers(server: Program) -> None:
    with client(server) as one:
        assert one.call("tuple") == ("a", {"b": b"c"})
        assert one.call("list") == ["a", "b"]
        assert one.call("none", ("x", None)) is None
        assert ["none", ["x", None]] in one.call("state")["seen"]
        assert "nan" in one.call("nan").lower()
        assert "data['a'][0]" in one.call("nan")
        assert "data['a'][1]" in one.call("object")
        with pytest.raises(socketio.exceptions.TimeoutError):
            one.call("raise", timeout=0.3)
        # It goes on after that.
        assert one.call("list") == ["a", "b"]


def test_catch_all_handlers(server: Program) -> None:
    names = ["/", "/any", "/two", "/plain"]
    with client(server, None, names) as one:
        assert one.call("what", 1, namespace="/any") == ["any", "what", 1]
        assert one.call("known", 1, namespace="/any") == ["any", "known", 1]
        assert one.call("known", (1, 2), namespace="/two") == ["known", "/two", 1, 2]
        assert one.call("what", namespace="/plain") == ["all", "what", "/plain"]
        assert one.call("what", namespace="/") == ["all", "what", "/"]
    # A handler for all namespaces opens none.
    assert refusal(server, None, "/closed")


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_targets(server: Program, transport: str) -> None:
    with contextlib.ExitStack() as stack:
        a, b, c = (stack.enter_context(client(server, transport=transport)) for _ in range(3))
        sids = [one.get_sid() for one in (a, b, c)]
        for one in (a, b):
            assert one.call("enter", "ab") == sorted([one.get_sid(), "ab"])
        assert b.call("enter", 7) == sorted([b.get_sid(), "ab", 7], key=str)

        def receivers(**options: Any) -> str:
            for one in (a, b, c):
                one.events.clear()
            a.call("emit", ("x", "data", options))
            # In order, so its recipients have it before this.
            a.call("emit", ("end", None, {}))
            for one in (a, b, c):
                wait_for_event(one, "end")
            counts = [one.events.count(["x", "data"]) for one in (a, b, c)]
            return " ".join(name * count for name, count in zip("abc", counts) if count)

        assert receivers() == "a b c"
        assert receivers(to="ab") == "a b"
        assert receivers(room="ab") == "a b"
        assert receivers(to=sids[2]) == "c"
        assert receivers(to=["ab", sids[2], sids[0]]) == "a b c"
        assert receivers(to=7) == "b"
        assert receivers(to=[7, sids[0]]) == "a b"
        assert receivers(to="nobody") == ""
        assert receivers(to=[]) == "a b c"
        assert receivers(skip_sid=sids[0]) == "b c"
        assert receivers(skip_sid=sids[:2]) == "c"
        assert receivers(skip_sid=sids[:2], tuple=True) == "c"
        assert receivers(to="ab", skip_sid=sids[1]) == "a"
        assert receivers(namespace="/none") == ""
        a.call("close", "ab")
        assert receivers(to="ab") == ""
        assert a.call("enter", sids[1]) == "cannot enter a sid room"
        assert a.call("close", sids[1]) == "cannot close a sid room"


def test_a_connect_handler_that_is_cancelled_in_an_event_answers_nothing_more(
    server: Program,
) -> None:
    with client(server) as one:
        with contextlib.suppress(socketio.exceptions.TimeoutError):
            one.call("cancelled", timeout=1)
        assert one.call("list") == ["a", "b"]


def test_nothing_stays_of_clients_that_hang_up_at_any_moment(server: Program) -> None:
    url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
    connects = ["", "40", '40{"do":"emit"}', '40{"do":"raise"}', '40{"do":"disconnect"}', "40/two,"]
    with client(server) as watcher:
        before = watcher.call("state")["rooms"]
        for number in range(120):
            raw = websocket.create_connection(url, timeout=20)
            if connect := connects[number % len(connects)]:
                raw.send(connect)
            if number % 3 == 0:
                # The server's hello, and its answer if there is one.
                raw.recv()
            if number % 2 == 0:
                raw.sock.close()
            else:
                raw.close()

        def is_as_before() -> bool:
            state = watcher.call("state")
            counts = [state[name] for name in ("clients", "environs", "sockets", "sessions")]
            return state["rooms"] == before and counts == [1, 1, 1, 0]

        until(is_as_before)


@pytest.mark.parametrize(("size", "times"), [(300_000, 1), (60_000, 12), (1_100_000, 1)])
def test_large_events_reach_everybody(server: Program, size: int, times: int) -> None:
    with client(server) as one, client(server) as other:
        assert one.call("shout", (size, times), timeout=30) == "done"
        for each in (one, other):
            until(lambda: sum(event == ["shouted", "x" * size] for event in each.events) == times)
