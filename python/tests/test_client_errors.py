"""Servers that are not there, not Socket.IO's, or not right: a client raises an error that says why, and nothing hangs."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from client_observing import KINDS, serve
from hostile import begins, closing, either, endless, frame, hostile, noise, plain, polling, says, silent, websocket
from support import INTEROP, free_port, make_certificate, program, result

OPEN = '0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
UNSUPPORTED = b'{"code":5,"message":"Unsupported protocol version"}'
FORBIDDEN = b'{"code":4,"message":"not you"}'
PAGE = b"<!DOCTYPE html><html><body>It works!</body></html>"


@contextlib.contextmanager
def url_of(server: AbstractContextManager[int], scheme: str = "http") -> Iterator[str]:
    with server as port:
        yield f"{scheme}://127.0.0.1:{port}"


@contextlib.contextmanager
def nothing(url: str) -> Iterator[str]:
    yield url


def pages(status: str, body: bytes = PAGE, kind: str = "text/html") -> Callable[[], Any]:
    return lambda: url_of(hostile(says(status, body, kind)))


def frames(*messages: str | bytes) -> Callable[[], Any]:
    return lambda: url_of(hostile(websocket(*messages)))


#: What runs, and what the error says of it, on long-polling and on WebSocket.
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "nobody there": (lambda: nothing(f"http://127.0.0.1:{free_port()}"), r"refused"),
    "no such host": (lambda: nothing("http://nowhere.invalid:5000"), r"nowhere\.invalid"),
    "silent": (lambda: url_of(hostile(silent)), r"(?i)time|within"),
    "half a head": (lambda: url_of(hostile(begins(b"HTTP/1.1 200 OK\r\nContent-Type: te"))), r"(?i)time|within"),
    "half a body": (
        lambda: url_of(hostile(begins(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + OPEN[:20].encode()))),
        r"(?i)time|within|101",
    ),
    "no answer to CONNECT": (
        lambda: url_of(hostile(either(websocket(OPEN), polling(OPEN)))),
        r"(?i)time|within",
    ),
    "noise": (lambda: url_of(hostile(noise)), r"."),
    "noise in a page": (pages("200 OK", bytes(range(128, 256))), r"(?i)not .*(socket|engine)\.io|unexpected"),
    "noise after the open packet": (
        lambda: url_of(hostile(either(websocket(OPEN, bytes(range(1, 256)) * 9), polling(OPEN, bytes(range(1, 256)) * 9)))),
        r".",
    ),
    "hangs up": (lambda: url_of(hostile(closing)), r"(?i)clos|broke|ended|before"),
    "404": (pages("404 Not Found"), r"404"),
    "500": (pages("500 Internal Server Error"), r"500"),
    "a page": (pages("200 OK"), r"(?i)not .*(socket|engine)\.io|unexpected"),
    "an empty page": (pages("200 OK", b""), r"(?i)not .*(socket|engine)\.io|unexpected"),
    "a page elsewhere": (pages("302 Found\r\nLocation: /other"), r"302"),
    "a page without an end": (lambda: url_of(hostile(endless)), r"."),
    "refused": (pages("403 Forbidden", FORBIDDEN, "application/json"), r"not you"),
    "another revision": (pages("400 Bad Request", UNSUPPORTED, "application/json"), r"(?i)revision|version"),
    "not http": (pages("nonsense"), r"."),
    "tls on a plain port": (lambda: url_of(hostile(plain), "https"), r"TLS"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_says_why(kind: str, tmp_path: pathlib.Path) -> None:
    key, certificate = make_certificate(tmp_path)
    revision = ["node", str(INTEROP / "client" / "servers" / "socket-io-2.mjs"), "--port", "{port}"]
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(server()) for name, (server, _) in CASES.items()}
        secure = stack.enter_context(serve(KEY=str(key), CERTIFICATE=str(certificate)))
        urls["plain on a port of tls"] = f"http://127.0.0.1:{secure.port}"
        old = stack.enter_context(program(*revision, PACKAGE="socketio"))
        urls["socket.io 2"] = f"http://127.0.0.1:{old.port}"
        arguments = [f"{name}={url}" for name, url in urls.items()]
        found = result("client_errors.py", *arguments, PACKAGE="kokanee", KIND=kind)
    patterns = {name: pattern for name, (_, pattern) in CASES.items()}
    patterns.update({"plain on a port of tls": r".", "socket.io 2": r"(?i)revision|version"})
    wrong = [name for name, pattern in patterns.items() if not is_right(found["cases"][name], pattern)]
    assert not wrong, {name: found["cases"][name] for name in wrong}
    assert found["threads"] == ["MainThread"]
    assert found["megabytes"] < 100
    # As in python-socketio: what the server says in JSON is what the handler gets.
    assert found["cases"]["refused"]["polling"]["calls"] == [[json.loads(FORBIDDEN)]]


def is_right(found: dict[str, Any], pattern: str) -> bool:
    """Returns whether an error says why, whether its handler ran once, and whether nothing remains."""
    for transport in ("polling", "websocket"):
        text, connected = found.pop(f"simple {transport}") or ("", True)
        if connected or not re.search(pattern, text):
            return False
    return all(
        each["error"]
        and re.search(pattern, each["error"])
        and each["after"] == [False, {}, None]
        and len(each["calls"]) == 1
        for each in found.values()
    )


#: What servers say over a WebSocket that no server says. The client ends it, or waits until its time is over.
WRONG: dict[str, tuple[str | bytes, ...]] = {
    "no open packet": ("40",),
    "no json": ("0{",),
    "no object": ("0[]",),
    "no sid": ('0{"upgrades":[]}',),
    "a negative interval": ('0{"sid":"a","upgrades":[],"pingInterval":-1,"pingTimeout":20000,"maxPayload":1000000}',),
    "an endless interval": ('0{"sid":"a","upgrades":[],"pingInterval":1e300,"pingTimeout":1e300,"maxPayload":1e300}',),
    "no interval": ('0{"sid":"a","upgrades":[],"pingInterval":0,"pingTimeout":0,"maxPayload":0}',),
    "nothing after the open packet": (OPEN,),
    "an unknown packet": (OPEN, "9"),
    "an unknown message": (OPEN, "49"),
    "a broken message": (OPEN, '42["x'),
    "an event before the namespace": (OPEN, '42["event",1]'),
    "an answer to nothing": (OPEN, "431[]"),
    "too many attachments": (OPEN, '4599999999999999-["x",{"_placeholder":true,"num":0}]'),
    "an attachment of nothing": (OPEN, frame(b"1")),
    "a deep event": (OPEN, "42" + "[" * 100_000),
    "a frame that is too large": (OPEN, b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
    "a reserved opcode": (OPEN, b"\x83\x00"),
    "a masked frame": (OPEN, b"\x81\x81\x00\x00\x00\x002"),
    "text that is not utf-8": (OPEN, frame(b"\xff\xfe", 1)),
    "closes": (OPEN, "1"),
    "closes the websocket": (OPEN, b"\x88\x02\x03\xe8"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_a_server_says_breaks_a_client(kind: str) -> None:
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(hostile(websocket(*messages))) for name, messages in WRONG.items()}
        arguments = [f"{name}={port}" for name, port in ports.items()]
        found = result("client_wrong.py", *arguments, PACKAGE="kokanee", KIND=kind)
    assert found["seen"].keys() == WRONG.keys()
    for name, each in found["seen"].items():
        assert each["error"], name
        assert each["after"] == [False, {}, None], name
    assert found["threads"] == ["MainThread"]
    assert found["megabytes"] < 100
