"""Every WSGI host: events, answers and bytes over each transport; polls that wait; what a request may look like."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import wsgi_hosts
from raw import Poller, exchange, websocket
from support import LIMIT, Program, grouped, javascript, make_certificate, program

DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    """Runs the program on a host."""
    with wsgi_hosts.host(request.param) as running:
        yield running


EACH = pytest.mark.parametrize("server", grouped(wsgi_hosts.HOSTS, wsgi_hosts.LIKE_OTHERS), indirect=True)


@EACH
def test_clients_hold_no_thread_and_plain_requests_go_on(server: Program) -> None:
    with contextlib.ExitStack() as stack:
        clients = [websocket(server.port) for _ in range(8)]
        for client in clients:
            stack.callback(client.close)
        for size, those in ((1, clients), (300_000, clients[:2])):
            text = "x" * size
            for number, client in enumerate(those):
                client.send(f"42{number}" + json.dumps(["echo", text]))
            for number, client in enumerate(those):
                assert client.recv() == f"43{number}" + json.dumps([text], separators=(",", ":"))
        for path, length in (("/hello", 5), ("/large", 300_000)):
            url = f"http://127.0.0.1:{server.port}{path}"
            with urllib.request.urlopen(url, timeout=LIMIT) as response:
                assert len(response.read()) == length


@EACH
def test_polls_that_wait_hold_no_thread(server: Program) -> None:
    """50 polls wait until an event that comes after a plain request, on a host with one or two threads."""
    pollers = [Poller(server.port) for _ in range(50)]
    last = websocket(server.port)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        list(pool.map(Poller.join, pollers))
        waiting = [pool.submit(poller.until, '42["later"') for poller in pollers]
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=LIMIT) as response:
            assert response.read() == b"hello"
        last.send('42["to_all"]')
        for future in waiting:
            assert future.result(LIMIT) == '42["later","now"]'
    last.close()


def test_without_the_option_polls_wait_on_the_host() -> None:
    with wsgi_hosts.host("werkzeug", OPTIONS="{'poll_takeover': False}") as server:
        poller = Poller(server.port)
        poller.join()
        poller.emit("later", 0.2)
        assert poller.until('42["later"') == '42["later","now"]'
        answer = exchange(
            server.port,
            b"GET /socket.io/?EIO=4&transport=polling HTTP/1.0\r\nHost: x\r\n\r\n",
        )
        assert b"Werkzeug" in answer


def test_ready_answers_keep_the_connection() -> None:
    with wsgi_hosts.host("gunicorn-gthread") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        sockets = set()
        for _ in range(5):
            connection.request("GET", "/socket.io/?EIO=4&transport=polling")
            response = connection.getresponse()
            assert response.read().startswith(b"0{")
            assert response.getheader("Connection", "").lower() != "close"
            sockets.add(connection.sock)
        assert len(sockets) == 1


def test_a_poll_whose_client_goes_is_given_up() -> None:
    with wsgi_hosts.host("gunicorn-sync") as server:
        poller = Poller(server.port)
        poller.join()
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            path = f"/socket.io/?EIO=4&transport=polling&sid={poller.sid}"
            gone.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            # The one worker answers the next request when it has given the poll away.
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=LIMIT).close()
        server.wait_for("disconnect ")


@pytest.mark.parametrize("server", grouped(n for n in wsgi_hosts.HOSTS if "uwsgi" in n), indirect=True)
def test_uwsgi_says_that_it_ends_the_connection(server: Program) -> None:
    """Otherwise, a client sends its next request on a connection that is just being closed."""
    request = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b"\r\nconnection: close\r\n" in exchange(server.port, request).lower()


@pytest.mark.parametrize("transports", ["polling", "polling,websocket"])
def test_a_host_without_a_socket_offers_polling_alone(transports: str) -> None:
    with program("host.py", "socketless", MODE="threading") as server:
        poller = Poller(server.port)
        assert poller.handshake["upgrades"] == []
        poller.join()
        assert poller.call("echo", 1) == [1]
        if transports == "polling":
            seen = javascript("echo.mjs", server.port, transports)
            assert seen["ack"] == DATA
        answer = exchange(
            server.port,
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        )
        assert answer.split(b"\r\n")[0].split(b" ")[1] == b"400"


SENDS_EARLY = ["werkzeug", "gunicorn-sync", "gunicorn-gthread", "eventlet", "gevent", "cheroot"]


@pytest.mark.parametrize("server", grouped(SENDS_EARLY), indirect=True)
def test_what_a_host_has_read_too_much_is_not_lost(server: Program) -> None:
    """A client that does not wait for 101 sends its first frames with the request."""
    head = (
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    event = b'421["echo",7]'
    frames = b"".join(
        bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload for payload in (b"40", event)
    )
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(head + frames)
        seen = b""
        while b"431[7]" not in seen:
            piece = connection.recv(4096)
            assert piece, seen
            seen += piece


CHUNKED = [
    "werkzeug",
    "gunicorn-sync",
    "gunicorn-gthread",
    "gunicorn-gevent",
    "eventlet",
    "gevent",
    "waitress",
    "cheroot",
    "wsgiref",
]


@pytest.mark.parametrize("server", grouped(CHUNKED), indirect=True)
def test_chunked_bodies_arrive(server: Program) -> None:
    poller = Poller(server.port)
    assert poller.request("POST", iter([b"4", b"0"]), encode_chunked=True) == (200, "ok")
    assert poller.until("40")
    pieces = (bytes([byte]) for byte in b'421["echo","chunks"]')
    assert poller.request("POST", pieces, encode_chunked=True) == (200, "ok")
    assert poller.until("431") == '431["chunks"]'
    # An empty body is not a packet.
    assert poller.request("POST", iter([]), encode_chunked=True)[0] in (200, 400)


# wsgiref takes no header about the connection.
@pytest.mark.parametrize("host", ["gunicorn-gthread", "wsgiref"])
def test_bodies_that_are_too_large_are_refused(host: str) -> None:
    with wsgi_hosts.host(host, OPTIONS="{'max_http_buffer_size': 1000}") as server:
        poller = Poller(server.port)
        poller.join()
        assert poller.request("POST", b"4" + b"x" * 5000)[0] == 413


def test_queries_and_headers_that_no_url_may_contain() -> None:
    with wsgi_hosts.host("werkzeug") as server:
        for query in (b'x="a"', b"x=%zz", b"x={}", b"x=\xe4", b"x=a|b^c"):
            request = (
                b"GET /socket.io/?EIO=4&transport=polling&" + query + b" HTTP/1.1\r\nHost: x\r\n"
                b"X-Name: \xc3\xa4\r\nConnection: close\r\n\r\n"
            )
            answer = exchange(server.port, request)
            assert answer.startswith(b"HTTP/1.1 200") and b'0{"sid"' in answer, (query, answer)


def test_a_mounted_application_and_a_unix_socket(tmp_path: Path) -> None:
    """`SCRIPT_NAME` is set, `REMOTE_ADDR` is not an address."""
    command, _ = wsgi_hosts.HOSTS["gunicorn-gthread"]
    path = str(tmp_path / "socket")
    command = [*command[:-1], f"--bind=unix:{path}", command[-1]]
    with program(*command, MODE="threading") as server:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(path)
            connection.sendall(
                b"GET /mount/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
                b"SCRIPT_NAME: /mount\r\nScript-Name: /mount\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            seen = b""
            while b"sid" not in seen:
                piece = connection.recv(4096)
                assert piece, seen
                seen += piece
        assert server.process.poll() is None


TLS = ["werkzeug", "gunicorn-gthread", "gunicorn-gevent", "eventlet", "gevent", "cheroot"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns a file with a key and its certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = make_certificate(folder)
    both = folder / "both.pem"
    both.write_text(key.read_text() + cert.read_text())
    return str(both)


@pytest.mark.parametrize("name", TLS)
def test_hosts_that_encrypt(name: str, certificate: str) -> None:
    command, mode = wsgi_hosts.HOSTS[name]
    if name.startswith("gunicorn"):
        options = [f"--certfile={certificate}", f"--keyfile={certificate}"]
        command = [*command[:-1], *options, command[-1]]
    with program(*command, MODE=mode, CERT=certificate) as server:
        for transports in ("polling", "websocket", "polling,websocket"):
            seen = javascript("echo.mjs", server.port, transports, "https")
            transport = transports.rsplit(",", 1)[-1]
            assert seen == {"transport": transport, "ack": DATA, "back": [DATA]}
        server.wait_for("disconnect ", 3)


@pytest.mark.parametrize("name", ["werkzeug", "gevent", "eventlet"])
def test_a_server_that_was_shut_down_starts_again_with_the_next_request(name: str) -> None:
    with wsgi_hosts.host(name) as server, contextlib.ExitStack() as stack:
        for number in range(1, 4):
            first, second = websocket(server.port), Poller(server.port)
            second.join()
            first.send('42["shut_down"]')
            server.wait_for("was shut down", number)
            server.wait_for("server disconnect", 2 * number)
            # It does not see that until here.
            stack.callback(first.close)
        client, poller = websocket(server.port), Poller(server.port)
        poller.join()
        assert poller.call("echo", 1) == [1]
        client.send('421["threads"]' if name == "werkzeug" else '421["echo",1]')
        answer = client.recv()
        assert int(answer[4:-1]) <= 5
        # Nothing of the clients before is left.
        client.send('421["connections"]')
        assert client.recv() == "431[2]"
        client.close()
