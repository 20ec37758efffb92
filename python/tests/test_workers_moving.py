"""Connections of the own host that move to the worker that owns the session of a request."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_host import SERVE
from raw import PATH
from support import Program, make_certificate, program, until
from websocket import WebSocket


@contextlib.contextmanager
def host(folder: Path, *options: str) -> Iterator[Program]:
    """Runs two workers that meet below a folder."""
    command = [*SERVE, "--workers=2", "--port={port}", *options, "workers_app:app"]
    with program(*command, XDG_RUNTIME_DIR=str(folder), KIND="wsgi") as running:
        yield running


class Connection(http.client.HTTPConnection):
    """Is a connection that stays open."""

    def __init__(self, port: int, tls: bool = False, prefix: str = "") -> None:
        super().__init__("127.0.0.1", port, timeout=20)
        self.prefix = prefix
        self.connect()
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unsent = b""
        self.own_port = self.sock.getsockname()[1]
        self.worker = self.who()

    def send(self, data: Any) -> None:
        """Holds back what is to be sent until the request is complete."""
        self._unsent += data

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Sends a request in one piece.

        A refusal does not wait for the body, and ends a connection on which that has not come.
        """
        super().request(*args, **kwargs)
        unsent, self._unsent = self._unsent, b""
        super().send(unsent)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """Makes a request, and returns status and body of the response."""
        self.request(method, self.prefix + path, body, headers)
        response = self.getresponse()
        return response.status, response.read()

    def who(self, body: bytes | None = None) -> int:
        """Returns the process that answers for a page, to which the client is who it is."""
        status, text = self.ask("POST" if body else "GET", "/who", body)
        worker, port, scheme, length = text.split()
        assert (status, int(port), int(length)) == (200, self.own_port, len(body or b""))
        assert scheme.decode() == ("https" if isinstance(self.sock, ssl.SSLSocket) else "http")
        return int(worker)

    def open(self) -> str:
        """Opens a session and joins the default namespace, and returns the path of the session's requests."""
        status, text = self.ask("GET", f"{PATH}polling")
        assert status == 200
        path = f"{PATH}polling&sid={json.loads(text[1:])['sid']}"
        assert self.ask("POST", path, b"40") == (200, b"ok")
        assert b"40" in self.ask("GET", path)[1]
        return path


def two(port: int, **options: Any) -> tuple[Connection, Connection]:
    """Returns connections with two workers that know each other."""

    def of_another() -> Connection | None:
        connection = Connection(port, **options)
        if connection.worker != one.worker:
            return connection
        connection.close()
        return None

    one = Connection(port, **options)
    other = until(of_another)
    # The last worker may have just started.
    path = one.open()
    until(lambda: Connection(port, **options).ask("POST", path, b'42["nothing"]')[0] == 200)
    return one, until(of_another)


def test_a_connection_moves_with_a_request_and_stays(tmp_path: Path) -> None:
    with host(tmp_path) as server:
        one, other = two(server.port)
        path = one.open()
        assert other.ask("POST", path, b'421["echo",7]') == (200, b"ok")
        # It is with the owner now, whatever it asks for.
        assert other.who() == other.who(b"x" * 100_000) == one.worker
        assert other.ask("GET", path) == (200, b"431[7]")
        # A connection that carries requests of many sessions, as that of a proxy, goes where each of them is.
        third = until(lambda: _of(server.port, other.worker))
        theirs = third.open()
        for _ in range(3):
            assert one.ask("POST", theirs, b'42["nothing"]')[0] == 200
            assert one.who() == third.worker
            assert one.ask("POST", path, b'42["nothing"]')[0] == 200
            assert one.who() != third.worker


def _of(port: int, worker: int) -> Connection | None:
    connection = Connection(port)
    if connection.worker == worker:
        return connection
    connection.close()
    return None


def test_a_waiting_get_and_a_websocket_move(tmp_path: Path) -> None:
    with host(tmp_path) as server:
        one, other = two(server.port)
        path = one.open()
        other.request("GET", path)
        assert one.ask("POST", path, b'421["echo",1]')[0] == 200
        response = other.getresponse()
        assert (response.status, response.read()) == (200, b"431[1]")
        assert other.who() == one.worker
        # The same with a connection that becomes a WebSocket; the worker that has accepted it need not run any more.
        another = until(lambda: _unlike(server.port, one.worker))
        ws = WebSocket()
        ws.connect(f"ws://127.0.0.1:{server.port}{path.replace('polling', 'websocket')}", socket=another.sock)
        os.kill(another.worker, signal.SIGSTOP)
        try:
            ws.settimeout(20)
            ws.send("2probe")
            assert ws.recv() == "3probe"
            ws.send("5")
            ws.send('422["echo","x"]')
            assert ws.recv() == '432["x"]'
        finally:
            os.kill(another.worker, signal.SIGCONT)
        ws.close()


def _unlike(port: int, worker: int) -> Connection | None:
    connection = Connection(port)
    return connection if connection.worker != worker else None


def test_requests_in_all_forms_move_or_are_relayed(tmp_path: Path) -> None:
    with host(tmp_path) as server:
        one, _ = two(server.port)
        path = one.open()
        post = f"POST {path} HTTP/1.1\r\nHost: a\r\n"
        event = b'421["echo",1]'
        page = b"GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        length = f"Content-Length: {len(event)}\r\n"
        forms = {
            # With the next request right after it, which is answered by the owner, too.
            "pipelined": ((post + length + "\r\n").encode() + event + page, one.worker),
            "absolute": ((post.replace("/socket", "http://a/socket", 1) + length + "\r\n").encode() + event + page, one.worker),
            # The form of its body is lost when it is read, so that the response is the last.
            "in chunks": (f"{post}Transfer-Encoding: chunked\r\n\r\n{len(event):x}\r\n".encode() + event + b"\r\n0\r\n\r\n", None),
            "an old client": ((post.replace("1.1", "1.0") + length + "\r\n").encode() + event, None),
            "the last": ((post + length + "Connection: close\r\n\r\n").encode() + event, None),
        }
        for name, (request, worker) in forms.items():
            another = until(lambda: _unlike(server.port, one.worker))
            another.sock.sendall(request)
            answer = b""
            while piece := another.sock.recv(10_000):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 " if "old" not in name else b"HTTP/1."), name
            assert b"\r\n\r\nok" in answer, name
            if worker:
                assert f"\r\n\r\n{worker} ".encode() in answer, name
            assert one.ask("GET", path) == (200, b"431[1]"), name
        # The client waits with its body until it may send it.
        another = until(lambda: _unlike(server.port, one.worker))
        another.sock.sendall((post + length + "Expect: 100-continue\r\n\r\n").encode())
        assert another.sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        another.sock.sendall(event)
        assert another.sock.recv(1000).endswith(b"\r\n\r\nok")
        # A large body is relayed.
        another = until(lambda: _unlike(server.port, one.worker))
        assert another.ask("POST", path, b'42["nothing","' + b"x" * 100_000 + b'"]') == (200, b"ok")
        assert another.who() == another.worker


def test_an_encrypted_connection_stays_where_it_is(tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    with host(tmp_path, f"--certfile={certificate}", f"--keyfile={key}") as server:
        one, other = two(server.port, tls=True)
        path = one.open()
        assert other.ask("POST", path, b'421["echo",7]') == (200, b"ok")
        assert other.who() == other.worker
        assert other.ask("GET", path) == (200, b"431[7]")


def test_a_request_that_passes_through_the_application_is_relayed(tmp_path: Path) -> None:
    with host(tmp_path, "--root-path=/below") as server:
        one, other = two(server.port, prefix="/below")
        path = one.open()
        assert other.ask("POST", path, b'421["echo",7]') == (200, b"ok")
        # A request that the application has given to the server is relayed, so that it does not pass through the application twice.
        assert other.who() == other.worker
        assert other.ask("GET", path) == (200, b"431[7]")


def test_a_connection_whose_owner_has_gone_stays(tmp_path: Path) -> None:
    with host(tmp_path) as server:
        one, other = two(server.port)
        path = one.open()
        os.kill(one.worker, signal.SIGKILL)

        def is_known() -> bool:
            # Connections that were moved to it in its last moment have ended with it.
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = until(lambda: _of(server.port, other.worker))
                return bool(connection.ask("POST", path, b'42["nothing"]')[0] == 400)
            return False

        until(is_known)
        status, text = other.ask("POST", path, b'42["nothing"]')
        assert (status, json.loads(text)["code"]) == (400, 1)
        assert other.who() == other.worker


@pytest.mark.parametrize("count", [20, pytest.param(2000, marks=pytest.mark.full)])
def test_no_worker_keeps_a_descriptor_of_what_has_moved(count: int, tmp_path: Path) -> None:
    def descriptors() -> int:
        return sum(len(os.listdir(f"/proc/{worker}/fd")) for worker in (one.worker, other.worker))

    with host(tmp_path) as server:
        one, other = two(server.port)
        path = one.open()
        until(lambda: _of(server.port, one.worker)).close()
        before = descriptors()
        for _ in range(count):
            connection = Connection(server.port)
            assert connection.ask("POST", path, b'42["nothing"]')[0] == 200
            connection.close()
        until(lambda: descriptors() <= before)
