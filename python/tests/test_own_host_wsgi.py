"""The package's own host with WSGI applications: each rule of PEP 3333 and of HTTP, on the wire."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from own_host import serve
from raw import exchange
from support import Program


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    options = ["--max-request-size", "400000", "--body-timeout", "0.5", "--access-log"]
    with serve("own_wsgi:app", *options) as running:
        yield running


def request(server: Program, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, bytes]:
    """Makes a request on a connection of its own, and returns response and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def raw(server: Program, head: str, body: bytes = b"") -> bytes:
    """Sends a request and returns the bytes of the response, on a connection that ends after it."""
    lines = [head, "Host: a", "Connection: close", "", ""]
    return exchange(server.port, "\r\n".join(lines).encode() + body)


def test_the_environ(server: Program) -> None:
    response, body = request(
        server, "GET", "/environ/%E2%82%AC%2F%20b?a=%20&b=1", None,
        X_Test="h\xe4", Cookie="a=1", content_type="text/x",
    )  # fmt: skip
    environ = json.loads(body)
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        # The bytes of UTF-8 as Latin-1.
        "PATH_INFO": "/environ/â\x82¬/ b",
        "QUERY_STRING": "a=%20&b=1",
        "RAW_URI": "/environ/%E2%82%AC%2F%20b?a=%20&b=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "HTTP_HOST": f"127.0.0.1:{server.port}",
        "HTTP_X_TEST": "h\xe4",
        "HTTP_COOKIE": "a=1",
        "CONTENT_TYPE": "text/x",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert "HTTP_CONTENT_TYPE" not in environ and int(environ["REMOTE_PORT"]) > 0


def test_headers_that_are_repeated_or_could_be_mistaken(server: Program) -> None:
    head = "GET /environ HTTP/1.1\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX_Forwarded_For: 6.6.6.6"
    environ = json.loads(raw(server, head).partition(b"\r\n\r\n")[2])
    assert environ["HTTP_X_A"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert "HTTP_X_FORWARDED_FOR" not in environ


def test_proxies_are_not_believed_unless_they_are_trusted(server: Program) -> None:
    forwarded = {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "https"}
    environ = json.loads(request(server, "GET", "/environ", **forwarded)[1])
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize("size", [0, 3, 70_000, 399_999])
def test_bodies_of_every_size(server: Program, size: int) -> None:
    sent = bytes(index % 251 for index in range(size))
    assert request(server, "POST", "/echo", sent)[1] == sent
    chunks = [sent[at : at + 40_000] for at in range(0, size, 40_000)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/echo", iter(chunks), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().read() == sent
    connection.close()


def test_the_input_is_read_by_lines(server: Program) -> None:
    for text in (b"a\nbcd\ne\nf", b"a\nbcd\ne\nf".ljust(70_000, b".")):
        _, body = request(server, "POST", "/lines", text)
        assert eval(body) == [b"a\n", b"bc", b"d\n", b"e\n", text[8:]]


def test_a_body_that_is_too_large(server: Program) -> None:
    response, _ = request(server, "POST", "/echo", b"x" * 400_001)
    assert response.status == 413
    chunks = (b"x" * 50_000 for _ in range(9))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/echo", chunks, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_body_that_does_not_arrive(server: Program, size: int) -> None:
    head = f"POST /echo HTTP/1.1\r\nContent-Length: {size}"
    assert raw(server, head, b"x").startswith(b"HTTP/1.1 408 ")


def test_the_body_is_asked_for_when_it_is_read(server: Program) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        head = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        connection.sendall(f"POST /echo {head}".encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    answer = exchange(server.port, f"POST /environ {head}".encode())
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_stream_is_sent_piece_by_piece_and_closed(server: Program) -> None:
    answer = raw(server, "GET /stream HTTP/1.1")
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    server.wait_for("closed")
    # HTTP/1.0 has no chunks: the end of the connection is that of the body.
    answer = raw(server, "GET /stream HTTP/1.0")
    assert b"chunked" not in answer and answer.endswith(b"\r\n\r\nonetwo")


def test_a_declared_length_counts(server: Program) -> None:
    assert raw(server, "GET /declared?10 HTTP/1.1").endswith(b"\r\n\r\n1234567890")
    assert raw(server, "GET /declared?5 HTTP/1.1").endswith(b"\r\n\r\n12345")
    assert raw(server, "GET /declared?7 HTTP/1.1").endswith(b"\r\n\r\n1234567")
    # The client notices that something is missing.
    with pytest.raises(http.client.IncompleteRead):
        request(server, "GET", "/declared?11")
    server.wait_for("the application has sent 10 of the 11 bytes that it declared")


def test_what_exceeds_the_declared_length_is_not_sent(server: Program) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for length in (5, 10, 0):
        connection.request("GET", f"/listed?{length}")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"1234567890"[:length])
    connection.request("GET", "/listed?11")
    response = connection.getresponse()
    assert (response.status, response.read()) == (500, b"Internal Server Error")
    server.wait_for('the application has declared "11" bytes and given 10')


def test_a_query_of_any_bytes(server: Program) -> None:
    head, _, body = raw(server, "GET /environ?q=\u65e5 HTTP/1.1").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["QUERY_STRING"].encode("latin-1").decode() == "q=\u65e5"


def test_a_malformed_body_is_the_clients_fault(server: Program) -> None:
    for body in (b"zz\r\n", b"3\r\nabc\r\nzz\r\n", b"3\r\nabcd\r\n", b"fffffffffffffffff\r\n"):
        # The connection ends, though the client has not asked for that.
        head = "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = exchange(server.port, f"POST /echo {head}".encode() + body)
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b"\r\n\r\nBad Request")
        answer = exchange(server.port, f"POST /careful {head}".encode() + body)
        assert answer.startswith(b"HTTP/1.1 422 ") and answer.endswith(b"\r\n\r\nthe request's body is malformed")
    assert not [line for line in server.lines if "failed for POST" in line]


def test_write(server: Program) -> None:
    assert request(server, "GET", "/write")[1] == b"written,returned"


def test_status_and_headers(server: Program) -> None:
    response, _ = request(server, "GET", "/status?418+I+am+a+kettle")
    assert (response.status, response.reason) == (418, "I am a kettle")
    assert response.headers.get_all("X-A") == ["1", "2"]
    assert response.headers["Date"] is not None
    for line in ("204 No Content", "304 Not Modified"):
        answer = raw(server, f"GET /status?{line.replace(' ', '+')} HTTP/1.1")
        assert answer.startswith(f"HTTP/1.1 {line}".encode())
        assert answer.endswith(b"\r\n\r\n") and b"transfer-encoding" not in answer
    for wrong in ("no", "99+x", "2000+x"):
        assert request(server, "GET", f"/status?{wrong}")[0].status == 500
    assert request(server, "GET", "/fail_bad_header")[0].status == 500


@pytest.mark.parametrize("line", ["204+No+Content", "304+Not+Modified"])
def test_a_status_without_a_body_has_no_length(server: Program, line: str) -> None:
    for path in ("/bodiless/listed", "/bodiless/pieces"):
        # Not the last response of its connection: the next one begins right after the head.
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for _ in range(2):
            connection.request("GET", f"{path}?{line}")
            response = connection.getresponse()
            assert response.status == int(line[:3]) and response.read() == b""
            assert response.headers["Content-Length"] is None and response.headers["Transfer-Encoding"] is None
        connection.close()


@pytest.mark.parametrize(("path", "length"), [("/echo", "0"), ("/write", None), ("/stream", None), ("/declared?10", "10"), ("/status?200+OK", "4")])
def test_head_has_no_body(server: Program, path: str, length: str | None) -> None:
    answer = raw(server, f"HEAD {path} HTTP/1.1")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and body == b""
    if length is not None:
        assert f"content-length: {length}".encode() in head.lower()


def test_exc_info(server: Program) -> None:
    response, body = request(server, "GET", "/replaced")
    assert (response.status, response.reason, body) == (503, "No", b"replaced")
    assert response.headers["X-Second"] == "2" and response.headers["X-First"] is None
    with pytest.raises(http.client.IncompleteRead) as raised:
        request(server, "GET", "/too_late")
    assert raised.value.partial == b"begun"
    server.wait_for("ValueError: too late to replace")


def test_failures_are_answered_and_logged(server: Program) -> None:
    for path in ("/fail", "/twice", "/silent"):
        response, body = request(server, "GET", path)
        assert (response.status, body) == (500, b"Internal Server Error")
    server.wait_for("the application failed for GET /fail")
    server.wait_for("ValueError: a failure in the application")
    server.wait_for("the application has not called start_response")
    with pytest.raises(http.client.IncompleteRead) as raised:
        request(server, "GET", "/fail_late")
    assert raised.value.partial == b"begun"


def test_files(server: Program) -> None:
    assert b"wsgi.file_wrapper" in request(server, "GET", "/file")[1]


def test_a_client_that_leaves_ends_the_stream(server: Program) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/endless")
    connection.getresponse().read(1000)
    connection.close()
    server.wait_for("stopped")
    assert not [line for line in server.lines if "BrokenPipe" in line]


def test_requests_that_wait_get_threads(server: Program) -> None:
    began = time.monotonic()
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(8)]
    for connection in connections:
        connection.request("GET", "/slow?0.5")
    assert [connection.getresponse().read() for connection in connections] == [b"slow"] * 8
    assert time.monotonic() - began < 3
    for connection in connections:
        connection.close()


def test_one_connection_serves_many_requests(server: Program) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    port = None
    for path in ("/environ", "/stream", "/echo", "/environ"):
        connection.request("POST", path, b"x" * 1000)
        body = connection.getresponse().read()
        assert connection.sock is not None
        if path == "/environ":
            assert port in (None, json.loads(body)["REMOTE_PORT"])
            port = json.loads(body)["REMOTE_PORT"]
    connection.close()


def test_requests_that_are_not_sound_do_not_reach_the_application(server: Program) -> None:
    for head in (
        "GET / HTTP/1.1\r\nHost: b",
        "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
        f"GET / HTTP/1.1\r\nX: {'x' * 20_000}",
    ):
        answer = raw(server, head)
        assert answer[9:12] in (b"400", b"431"), answer


def test_the_access_log(server: Program) -> None:
    request(server, "GET", "/stream?log=1", Referer='http://a/"b', User_Agent="me\t1")
    line = server.wait_for("log=1")
    assert line.startswith("127.0.0.1 - - [")
    assert line.endswith(r'''] "GET /stream?log=1 HTTP/1.1" 200 6 "http://a/\"b" "me\t1"''')


def test_a_path_that_a_proxy_has_mounted() -> None:
    options = ["--root-path", "/sub", "--trusted-proxies", "loopback"]
    with serve("own_wsgi:app", *options) as server:
        for path in ("/sub/environ", "/environ"):
            environ = json.loads(request(server, "GET", path)[1])
            assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/sub", "/environ")
        # The proxy is trusted here.
        forwarded = {"X_Forwarded_For": "6.6.6.6, 192.0.2.1", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "a.example"}
        environ = json.loads(request(server, "GET", "/environ", **forwarded)[1])
        names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST")
        assert [environ[name] for name in names] == ["192.0.2.1", "https", "a.example"]
        _, body = request(server, "GET", "/sub/socket.io/?EIO=4&transport=polling")
        assert body.startswith(b"0{")
