"""The environ that is kept of a connection: it is what the host had, and holds on to nothing of the host."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from kokanee import _environ


class Thing:
    """Stands for an object of a host or of a middleware."""


def wsgi() -> dict[str, Any]:
    """Returns the environ of a request as a host gives it."""
    return {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "EIO=4&transport=websocket",
        "PATH_INFO": "/caf\u00c3\u00a9\0",
        "HTTP_COOKIE": "a=b",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.errors": sys.stderr,
        "wsgi.input": Thing(),
        "gunicorn.socket": Thing(),
        "my.user": Thing(),
    }


def test_environ_of_wsgi_is_what_the_host_had() -> None:
    given = wsgi()
    kept: Any = _environ.of_wsgi(given)
    assert kept._source is not None and isinstance(kept, dict)
    assert kept["wsgi.input"].read() == b""
    rest = {name: given[name] for name in given if name not in ("wsgi.input", "gunicorn.socket")}
    assert {name: kept[name] for name in kept if name != "wsgi.input"} == rest
    assert kept["my.user"] is given["my.user"]
    kept["mine"] = 1
    assert kept["mine"] == 1 and "mine" not in given


def test_two_environs_of_the_same_shape_have_values_of_their_own() -> None:
    one: Any = _environ.of_wsgi(wsgi())
    other: Any = _environ.of_wsgi({**wsgi(), "HTTP_COOKIE": "c=d"})
    assert (one["HTTP_COOKIE"], other["HTTP_COOKIE"]) == ("a=b", "c=d")
    assert one["wsgi.input"] is not other["wsgi.input"]


def test_environ_of_wsgi_does_not_hold_on_to_the_request() -> None:
    given = wsgi()
    of_the_request = [weakref.ref(given[name]) for name in ("wsgi.input", "gunicorn.socket")]
    kept = _environ.of_wsgi(given)
    del given
    gc.collect()
    assert kept is not None
    assert [reference() for reference in of_the_request] == [None, None]


def test_number_of_shapes_is_bounded() -> None:
    for number in range(2 * _environ._MOST_SHAPES):
        kept: Any = _environ.of_wsgi({**wsgi(), f"HTTP_X_{number}": "1"})
        assert kept[f"HTTP_X_{number}"] == "1"
    assert len(_environ._shapes) <= _environ._MOST_SHAPES


@pytest.mark.parametrize(
    "query, opens",
    [("EIO=4", True), ("", True), ("EIO=4&sid=a", False), ("sid=a", False), ("EIO=4&xsid=a", True)],
)
def test_requests_without_a_session_open_one(query: str, opens: bool) -> None:
    assert _environ.opens_session(query) == opens
    assert (_environ.of_wsgi({**wsgi(), "QUERY_STRING": query}) is not None) == opens


def test_threads_that_read_at_the_same_time_see_all_of_it() -> None:
    for _ in range(50):
        kept: Any = _environ.of_wsgi(wsgi())
        start = threading.Barrier(4)
        seen: list[Any] = []

        def read(kept: Any = kept, start: Any = start, seen: list[Any] = seen) -> None:
            start.wait()
            seen.append((kept.get("HTTP_COOKIE"), len(kept)))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [("a=b", 9)] * 4


def scope() -> dict[str, Any]:
    """Returns the scope of a WebSocket as a host gives it."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": "/socket.io/",
        "query_string": b"EIO=4&transport=websocket",
        "client": ("10.0.0.1", 4000),
        "headers": [(b"cookie", b"a=b")],
        "extensions": {"websocket.http.response": {}, "kokanee.take_over": Thing()},
        "state": {},
        "user": Thing(),
    }


@pytest.mark.parametrize("state", [{}, {"pool": Thing()}])
def test_scope_of_a_connection_that_was_taken_over_is_what_the_host_had(state: Any) -> None:
    given = {**scope(), "state": state}
    kept: Any = _environ.of_scope(given, Thing(), Thing(), None)
    taken = weakref.ref(given["extensions"]["kokanee.take_over"])
    kept.leave_host()
    assert kept["HTTP_COOKIE"] == "a=b" and kept["REMOTE_ADDR"] == "10.0.0.1"
    expected = {**given, "extensions": {"websocket.http.response": {}}}
    assert kept["asgi.scope"] == expected and kept["asgi.scope"]["user"] is given["user"]
    given.clear()
    del expected
    gc.collect()
    assert taken() is None
    with pytest.raises(RuntimeError, match="the connection is the engine's"):
        kept["asgi.send"]({}).send(None)


def test_environ_that_was_read_stays_when_the_host_is_left() -> None:
    kept: Any = _environ.of_scope(scope(), "receive", "send", None)
    kept["mine"] = 1
    kept.leave_host()
    assert kept["mine"] == 1 and kept["asgi.send"] == "send"


def test_headers_of_asgi_in_the_environ() -> None:
    headers = [
        *((b"x-forwarded-for", b"192.0.2.1"), (b"x_forwarded_for", b"evil"), (b"content_type", b"evil")),
        *((b"cookie", b"a=b"), (b"x-more", b"1"), (b"cookie", b"c=d"), (b"x-more", b"2"), (b"content-type", b"text/plain")),
    ]
    environ = _environ.fill({"path": "/", "headers": headers}, None, None, None)
    found = {name: environ[name] for name in environ if name.startswith(("HTTP_", "CONTENT_"))}
    assert found == {
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_COOKIE": "a=b; c=d",
        "HTTP_X_MORE": "1,2",
        "CONTENT_TYPE": "text/plain",
    }
