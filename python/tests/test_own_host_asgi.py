"""The package's own host with ASGI applications: lifespan, requests, and WebSockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import types
from collections.abc import Iterator
from typing import Any

import pytest
import websocket
from kokanee import _serve_asgi
from own_host import SERVE, serve
from raw import exchange
from support import PROGRAMS, Program
from test_own_host_wsgi import raw, request


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    options = ["--max-request-size", "400000", "--body-timeout", "0.5", "--access-log", "--loop", request.param]
    with serve("own_asgi:app", *options) as running:
        yield running


def connect(server: Program, path: str, **options: Any) -> Any:
    """Opens a WebSocket."""
    return websocket.create_connection(f"ws://127.0.0.1:{server.port}{path}", timeout=10, **options)


def test_the_scope(server: Program) -> None:
    _, body = request(server, "GET", "/a/%E2%82%AC%20/scope?a=%20&b=1", None, X_Test="h\xe4")
    scope = json.loads(body)
    client = scope.pop("client")
    assert client[0] == "127.0.0.1" and client[1] > 0
    assert ["x-test", "h\xe4"] in scope.pop("headers")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a/€ /scope",
        "raw_path": "/a/%E2%82%AC%20/scope",
        "query_string": "a=%20&b=1",
        "root_path": "",
        "server": ["127.0.0.1", server.port],
        "state": {"made": "at the start"},
    }


def test_a_mount_and_a_trusted_proxy() -> None:
    options = ["--root-path", "sub/", "--trusted-proxies", "127.0.0.0/8"]
    with serve("own_asgi:app", *options) as server:
        forwarded = {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "https"}
        for path in ("/sub/scope", "/scope"):
            scope = json.loads(request(server, "GET", path, **forwarded)[1])
            assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/sub", "/sub/scope", "/sub/scope")
            assert (scope["client"], scope["scheme"]) == (["192.0.2.1", 0], "https")
        for path in ("/sub/socket.io/", "/socket.io/"):
            _, body = request(server, "GET", f"{path}?EIO=4&transport=polling")
            assert body.startswith(b"0{")


@pytest.mark.parametrize("size", [0, 3, 70_000, 399_999])
def test_bodies_of_every_size(server: Program, size: int) -> None:
    sent = bytes(index % 251 for index in range(size))
    assert request(server, "POST", "/echo", sent)[1] == sent
    chunks = [sent[at : at + 40_000] for at in range(0, size, 40_000)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/echo", iter(chunks), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().read() == sent
    connection.close()


def test_bodies_that_are_too_large_or_do_not_arrive(server: Program) -> None:
    assert request(server, "POST", "/echo", b"x" * 400_001)[0].status == 413
    chunks = (b"x" * 50_000 for _ in range(9))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/echo", chunks, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    for size in (10, 100_000):
        assert raw(server, f"POST /echo HTTP/1.1\r\nContent-Length: {size}", b"x").startswith(b"HTTP/1.1 408 ")


def test_a_malformed_body_is_the_clients_fault(server: Program) -> None:
    head = "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"
    for path in ("/echo", "/careless"):
        # The connection ends, though the client has not asked for that.
        answer = exchange(server.port, f"POST {path} {head}".encode())
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b"\r\n\r\nBad Request")
    server.wait_for("a message http.request")
    server.wait_for("a message http.disconnect")
    server.wait_for("it says the request's body is malformed")
    server.wait_for('"POST /careless HTTP/1.1" 400')
    answer = exchange(server.port, f"POST /streamed {head}".encode())
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"5\r\nbegun\r\n3\r\nabc\r\n0\r\n\r\n")
    assert not [line for line in server.lines if "failed for /careless" in line]


def test_a_stream(server: Program) -> None:
    answer = raw(server, "GET /stream HTTP/1.1")
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert raw(server, "HEAD /stream HTTP/1.1").endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_no_length(server: Program, status: int) -> None:
    for path in ("/bodiless", "/pieces/bodiless"):
        response, body = request(server, "GET", f"{path}?{status}")
        assert (response.status, body) == (status, b"")
        assert response.headers["Content-Length"] is None and response.headers["Transfer-Encoding"] is None


def test_a_client_that_leaves(server: Program) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.recv(1000)
        # The application waits while nothing is read.
        with pytest.raises(AssertionError):
            server.wait_for("a hundred pieces", seconds=0.5)
    server.wait_for("stopped")
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"POST /leave HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        server.wait_for("waits")
    server.wait_for("http.disconnect")


def test_a_response_is_followed_by_disconnect(server: Program) -> None:
    assert request(server, "GET", "/after")[1] == b"done"
    server.wait_for("http.disconnect")


def test_failures_are_answered_and_logged(server: Program) -> None:
    for path in ("/fail", "/silent"):
        response, body = request(server, "GET", path)
        assert (response.status, body) == (500, b"Internal Server Error")
    server.wait_for("the application failed for /fail")
    server.wait_for("ValueError: a failure in the application")
    server.wait_for("the application has returned without a response")
    with pytest.raises(http.client.IncompleteRead) as raised:
        request(server, "GET", "/fail_late")
    assert raised.value.partial == b"begun"


def test_a_websocket(server: Program) -> None:
    opened = connect(server, "/a/socket?x=1", subprotocols=["one", "two"])
    assert opened.subprotocol == "two"
    assert opened.getheaders()["x-accepted"] == "yes"
    for size in (0, 5, 200, 70_000, 199_999):
        opened.send("ä" * (size // 2))
        assert opened.recv() == "ä" * (size // 2) * 2
        opened.send_binary(b"\xff" * size)
        assert opened.recv() == b"\xff" * size * 2
    opened.ping("are you there")
    opened.send("close")
    frames = [opened.recv_data(control_frame=True) for _ in range(2)]
    assert [opcode for opcode, _ in frames] == [websocket.ABNF.OPCODE_PONG, websocket.ABNF.OPCODE_CLOSE]
    # As much of the reason as has room, in whole characters.
    assert frames[1][1] == (4001).to_bytes(2, "big") + "€".encode() * 41


def test_the_end_of_a_websocket(server: Program) -> None:
    opened = connect(server, "/socket")
    opened.close(4002, b"a reason")
    server.wait_for("left 4002 a reason")
    opened = connect(server, "/socket")
    opened.sock.shutdown(socket.SHUT_RDWR)
    server.wait_for("left 1006")
    for word, code in (("return", 1000), ("fail", 1011)):
        opened = connect(server, "/socket")
        opened.send(word)
        assert opened.recv_data(control_frame=True)[1][:2] == code.to_bytes(2, "big")
    server.wait_for("ValueError: a failure in the WebSocket")
    opened = connect(server, "/socket")
    opened.send("x" * 400_001)
    assert opened.recv_data(control_frame=True)[1][:2] == (1009).to_bytes(2, "big")


def test_websockets_that_are_refused(server: Program) -> None:
    for path, status, body in (("/refuse", 403, b"Forbidden"), ("/deny", 401, b"log in first"), ("/fail", 500, b"")):
        with pytest.raises(websocket.WebSocketBadStatusException) as raised:
            connect(server, path)
        assert (raised.value.status_code, raised.value.resp_body or b"") == (status, body)


@pytest.mark.parametrize("path", ["/socket", "/socket.io/?EIO=4&transport=websocket"])
def test_handshakes_that_are_none(server: Program, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n"
    assert exchange(server.port, f"{head}\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    assert exchange(server.port, f"{head}\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    # RFC 6455 4.4: the client may try again with the version that is offered.
    for version in ("8", "14", "13, 14"):
        answer = exchange(server.port, f"{head}Sec-WebSocket-Version: {version}\r\n\r\n".encode()).lower()
        assert answer.startswith(b"http/1.1 426 ")
        assert b"\r\nsec-websocket-version: 13\r\n" in answer
    if path == "/socket":
        server.wait_for('"GET /socket HTTP/1.1" 426')


def test_a_websocket_has_back_pressure(server: Program) -> None:
    opened = connect(server, "/socket")
    opened.sock.settimeout(1)
    sent = 0
    with pytest.raises((TimeoutError, websocket.WebSocketTimeoutException)):
        # Each message is answered with two of its size, which nobody reads.
        while sent < 200:
            opened.send_binary(b"x" * 100_000)
            sent += 1
    assert 0 < sent < 200


def test_lifespan_events() -> None:
    with serve("own_asgi:app") as server:
        server.wait_for("startup")
        assert server.stop() == 0
        server.wait_for("shutdown")


def test_an_application_that_does_not_end_has_a_limit() -> None:
    with serve("own_asgi:app", "--graceful-timeout", "0.5", HANG="1") as server:
        server.wait_for("startup")
        assert request(server, "GET", "/scope")[0].status == 200
        assert server.stop() == 0
        server.wait_for("has not answered lifespan.shutdown in time")


def test_an_application_that_exits_ends_its_request_alone(server: Program) -> None:
    for _ in range(2):
        response, body = request(server, "GET", "/exits")
        assert (response.status, body) == (500, b"Internal Server Error")
    server.wait_for("the application failed for /exits")


def test_a_start_that_fails() -> None:
    done = subprocess.run(
        [*SERVE, "own_asgi:app", "--port", "0"], cwd=PROGRAMS, capture_output=True, text=True, timeout=20,
        env={**__import__("os").environ, "FAIL": "1"},
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "kokanee: the application has not started: no database\n"


def test_requests_that_run_are_answered_before_the_end() -> None:
    with serve("own_asgi:app") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/slow?0.7")
        server.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        assert connection.getresponse().read() == b"slow"
        assert server.process.wait(10) == 0
        connection.close()


def test_waits_that_are_cancelled_leave_nothing() -> None:
    async def cancel() -> int:
        waiting = _serve_asgi._Waiting(types.SimpleNamespace(waiting={}), 1)  # type: ignore[arg-type]
        for _ in range(100):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(waiting.wait(), 0.0001)
        left = len(waiting._futures)
        both = [asyncio.ensure_future(waiting.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting.wake()
        await asyncio.wait_for(asyncio.gather(*both), 5)
        return left

    assert asyncio.run(cancel()) == 0
