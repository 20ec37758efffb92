"""`kokanee tcp` and `kokanee udp` against peers that nobody here wrote: Python's `socket` module as its documentation
shows it, netcat, socat and openssl. And `kokanee serve --tcp`, `--udp` and `--unix` against the same and python-socketio.
"""

import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import socketio
from server import IS_REFERENCE, Server, command, free_port

LIMIT = 20

pytestmark = pytest.mark.skipif(IS_REFERENCE, reason="the original server has no raw sockets")


class Program:
    """A running program whose output is read line by line."""

    def __init__(self, *args: str) -> None:
        self._process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )

    def line(self) -> str:
        """The next line of its output, without its end."""
        line = self._process.stdout.readline()
        assert line, "the program has ended"
        return line.decode().rstrip("\r\n")

    def say(self, data: bytes) -> None:
        self._process.stdin.write(data)

    def hush(self) -> None:
        """Ends its input."""
        self._process.stdin.close()

    def rest(self) -> bytes:
        """The rest of its output, when it has ended."""
        rest = self._process.stdout.read()
        self._process.wait(LIMIT)
        return rest

    def interrupt(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(LIMIT)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT)
        self._process.stdout.close()


def kokanee(*args: str) -> list[str]:
    return [*command(), *args]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(LIMIT)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(args: list[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(args, input=data, capture_output=True, timeout=LIMIT, check=False)


@pytest.fixture
def listening() -> Iterator:
    """Starts commands that listen, and returns each with its port."""
    programs: list[Program] = []

    def start(*args: str) -> tuple[Program, int]:
        program = Program(*kokanee(*args, "--port", "0"))
        programs.append(program)
        first = program.line()
        assert first.startswith("listening on "), first
        return program, int(first.rsplit(":", 1)[1])

    yield start
    for program in programs:
        program.__exit__()


def python_echo_server(family: socket.AddressFamily, host: str) -> int:
    """The server of Python's documentation: binds, listens, accepts, echoes. Returns its port."""
    s = socket.socket(family, socket.SOCK_STREAM)
    s.bind((host, 0))
    s.listen(1)

    def serve() -> None:
        conn, _addr = s.accept()
        with s, conn:
            while True:
                data = conn.recv(1024)
                if not data:
                    break
                conn.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return s.getsockname()[1]


# TCP.


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_client_of_pythons_documentation_and_our_server(listening, host: str) -> None:
    program, port = listening("tcp", "echo", "--host", host)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(LIMIT)
        s.connect((host, port))
        s.sendall(b"hello world")
        assert s.recv(1024) == b"hello world"
        peer = f"[::1]:{s.getsockname()[1]}" if ":" in host else f"127.0.0.1:{s.getsockname()[1]}"
    assert program.line() == f"connected by {peer}"
    assert program.line() == f"received hello world from {peer}"
    assert program.line().startswith(f"closed {peer} after ")
    assert program.interrupt() == 0


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_our_client_and_the_server_of_pythons_documentation(family: socket.AddressFamily, host: str) -> None:
    port = python_echo_server(family, host)
    done = run(kokanee("tcp", "send", host, str(port), "hello world"))
    assert done.returncode == 0, done.stderr
    assert b"\nreceived hello world\n" in done.stdout


def test_a_dual_stack_server_takes_both_families(listening) -> None:
    _, port = listening("tcp", "echo", "--host", "::")
    for host in ["127.0.0.1", "::1"]:
        with socket.create_connection((host, port), timeout=LIMIT) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"


def test_a_thousand_python_clients_at_the_same_time(listening) -> None:
    _, port = listening("tcp", "echo", "--quiet")
    clients = [socket.create_connection(("127.0.0.1", port), timeout=LIMIT) for _ in range(1000)]
    for number, client in enumerate(clients):
        client.sendall(f"client {number}".encode())
    for number, client in enumerate(clients):
        expected = f"client {number}".encode()
        assert client.recv(100) == expected
        client.close()


def test_half_closed_both_ways(listening) -> None:
    _, port = listening("tcp", "echo")
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as s:
        s.sendall(b"x" * 500_000)
        s.shutdown(socket.SHUT_WR)
        received = 0
        while data := s.recv(65536):
            received += len(data)
    assert received == 500_000


def test_a_peer_that_never_reads_costs_the_others_nothing(listening) -> None:
    _, port = listening("tcp", "echo", "--quiet")
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as silent:
        with pytest.raises(TimeoutError):
            while True:
                silent.sendall(b"x" * 65536)
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as other:
            other.sendall(b"still there?")
            assert other.recv(100) == b"still there?"


def test_netcat_is_client_and_server(listening) -> None:
    program, port = listening("tcp", "echo")
    done = run(["nc", "-N", "127.0.0.1", str(port)], b"hello from netcat\n")
    assert done.stdout == b"hello from netcat\n"
    assert program.line().startswith("connected by ")
    assert program.line().startswith("received hello from netcat\\n from ")

    port = free_port()
    with Program("nc", "-v", "-l", "127.0.0.1", str(port)) as netcat:
        assert "istening" in netcat.line()
        netcat.say(b"hello to you\n")
        with Program(*kokanee("tcp", "connect", "127.0.0.1", str(port), "--quiet")) as ours:
            assert ours.line() == "received hello to you\\n"
            ours.say(b"and to you\n")
            assert "onnection" in netcat.line()
            assert netcat.line() == "and to you"


def test_socat_is_client_and_server(listening) -> None:
    program, port = listening("tcp", "echo", "--hex")
    done = run(["socat", "-t", "5", "-", f"TCP:127.0.0.1:{port}"], b"\x00\xffsocat")
    assert done.stdout == b"\x00\xffsocat"
    program.line()
    assert program.line().startswith("received 7 bytes from ")
    assert program.line().strip().startswith("00000000  00 ff 73 6f 63 61 74")

    port = free_port()
    with Program("socat", "-d", "-d", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "EXEC:cat") as socat:
        assert "listening on" in socat.line()
        done = run(kokanee("tcp", "send", "localhost", str(port), "echo me", "--raw", "--quiet"))
        assert (done.returncode, done.stdout) == (0, b"echo me"), done.stderr


def test_a_listener_writes_what_netcat_sends(listening, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    program = Program(*kokanee("tcp", "listen", "--port", "0", "--raw", "--quiet"))
    with program:
        port = program.line().rsplit(":", 1)[1]
        program.hush()
        file = tmp_path / "data"
        file.write_bytes(data)
        with file.open("rb") as content:
            subprocess.run(["nc", "-N", "127.0.0.1", port], stdin=content, timeout=LIMIT, check=True)
        assert program.rest() == data


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate and its key for localhost, of openssl."""
    directory = tmp_path_factory.mktemp("tls")
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    made = run([
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"),
        *("-keyout", key, "-out", cert),
    ])
    assert made.returncode == 0, made.stderr
    return cert, key


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_is_a_tls_client(listening, certificate: tuple[str, str], version: str) -> None:
    cert, key = certificate
    _, port = listening("tcp", "echo", "--tls-cert", cert, "--tls-key", key)
    client = ["openssl", "s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-CAfile", cert]
    with Program(*client, version, "-connect", f"localhost:{port}") as openssl:
        openssl.say(b"hello openssl\n")
        while (line := openssl.line()) != "hello openssl":
            assert "rror" not in line, line


def test_openssl_is_a_tls_server(certificate: tuple[str, str]) -> None:
    cert, key = certificate
    port = free_port()
    server = ["openssl", "s_server", "-quiet", "-rev", "-cert", cert, "-key", key, "-accept", f"127.0.0.1:{port}"]
    with Program(*server):
        deadline = time.monotonic() + LIMIT
        while not answers(port):
            assert time.monotonic() < deadline, "openssl does not listen"
            time.sleep(0.02)
        send = kokanee("tcp", "send", "localhost", str(port), "olleh\n", "--tls", "--answers", "1", "--quiet")
        done = run([*send, "--ca", cert])
        assert (done.returncode, done.stdout) == (0, b"received hello\\n\n"), done.stderr
        # Nobody vouches for it.
        done = run(send)
        assert done.returncode == 6 and b"TLS: localhost:" in done.stderr


def test_what_fails_says_what_where_and_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(kokanee("tcp", "echo", "--port", str(port)))
        assert done.returncode == 98
        assert done.stderr.startswith(f"error: address in use: 127.0.0.1:{port};".encode())
    done = run(kokanee("tcp", "send", "127.0.0.1", str(port), "x"))
    assert done.returncode == 6
    assert done.stderr == f"error: connection refused: 127.0.0.1:{port}; nobody listens there\n".encode()
    done = run(kokanee("tcp", "send", "255.255.255.255", "9", "x", "--connect-timeout", "1s"))
    assert done.returncode != 0 and b"255.255.255.255:9" in done.stderr and b"os error" not in done.stderr


# UDP.


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_udp_with_pythons_sockets(listening, family: socket.AddressFamily, host: str) -> None:
    program, port = listening("udp", "echo", "--host", host)
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(LIMIT)
        for data in [b"hello world", b"", b"x" * 60_000]:
            s.sendto(data, (host, port))
            assert s.recv(65536) == data
    assert program.line().startswith("received hello world from ")

    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((host, 0))

        def answer() -> None:
            data, peer = s.recvfrom(1024)
            s.sendto(data.upper(), peer)

        threading.Thread(target=answer, daemon=True).start()
        done = run(kokanee("udp", "send", host, str(s.getsockname()[1]), "hello", "--quiet"))
        assert done.stdout == b"received HELLO\n", done.stderr


def test_a_datagram_over_the_limit_is_reported_not_cut(listening) -> None:
    program, port = listening("udp", "echo", "--max-datagram-bytes", "100")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(LIMIT)
        s.sendto(b"x" * 101, ("127.0.0.1", port))
        s.sendto(b"fits", ("127.0.0.1", port))
        assert s.recv(1024) == b"fits"
    assert program.line().endswith(" exceeds the limit of 100 bytes")


def test_udp_with_netcat_and_socat(listening) -> None:
    _, port = listening("udp", "echo")
    done = run(["nc", "-u", "-W", "1", "127.0.0.1", str(port)], b"netcat")
    assert done.stdout == b"netcat"
    done = run(["socat", "-t", "5", "-", f"UDP:127.0.0.1:{port},shut-null"], b"socat")
    assert done.stdout == b"socat"


# The bridge.


class Told:
    """A python-socketio client in a namespace, with what it is told."""

    def __init__(self, server: Server, namespace: str, auth: dict | None = None) -> None:
        self.namespace = namespace
        self._events: queue.Queue[tuple] = queue.Queue()
        self._client = socketio.Client(reconnection=False)
        for event in ["peers", "open", "data", "end", "close"]:
            self._client.on(event, lambda *args, event=event: self._events.put((event, *args)), namespace=namespace)
        self._client.connect(server.url, namespaces=[namespace], auth=auth, transports=["websocket"], wait_timeout=LIMIT)

    def next(self, event: str) -> tuple:
        name, *args = self._events.get(timeout=LIMIT)
        assert name == event, (name, args)
        return tuple(args)

    def ask(self, event: str, *args: object) -> object:
        return self._client.call(event, args, namespace=self.namespace, timeout=LIMIT)

    def close(self) -> None:
        self._client.disconnect()


@pytest.mark.parametrize("peer", ["python", "netcat", "socat"])
def test_raw_tcp_peers_and_socketio_clients(peer: str) -> None:
    port = free_port()
    with Server("--tcp", str(port), "--framing", "lines") as server:
        told = Told(server, "/tcp")
        assert told.next("peers") == ([],)
        if peer == "python":
            s = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
            s.sendall(b"hello world\n")
        else:
            args = ["nc", "127.0.0.1", str(port)] if peer == "netcat" else ["socat", "-", f"TCP:127.0.0.1:{port}"]
            program = Program(*args)
            program.say(b"hello world\n")
        (facts,) = told.next("open")
        assert facts["transport"] == "tcp" and facts["address"].startswith("127.0.0.1:")
        assert told.next("data") == (facts["id"], "hello world")
        assert told.ask("data", facts["id"], "answer") == "ok"
        if peer == "python":
            assert s.makefile().readline() == "answer\n"
            s.close()
        else:
            assert program.line() == "answer"
            program.__exit__()
        assert told.next("close") == (facts["id"], "ended by the peer")
        assert told.ask("data", facts["id"], "late")["error"]["message"] == f"no such peer: {facts['id']}"
        assert told.ask("dial", f"127.0.0.1:{port}")["error"]["message"] == f"target not allowed: 127.0.0.1:{port}"
        told.close()


def test_raw_udp_and_unix_peers(tmp_path: Path) -> None:
    port, path = free_port(), str(tmp_path / "socket")
    with Server("--udp", str(port), "--unix", path) as server:
        told = Told(server, "/udp")
        told.next("peers")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(LIMIT)
            s.sendto(b"21.5", ("127.0.0.1", port))
            (facts,) = told.next("open")
            assert told.next("data") == (facts["id"], b"21.5")
            assert told.ask("data", facts["id"], b"\x00\x01") == "ok"
            assert s.recv(100) == b"\x00\x01"
        told.close()

        told = Told(server, "/unix")
        told.next("peers")
        with Program("socat", "-", f"UNIX-CONNECT:{path}") as program:
            program.say(b"hello")
            (facts,) = told.next("open")
            assert facts["transport"] == "unix"
            assert told.next("data") == (facts["id"], b"hello")
        told.close()
    assert not Path(path).exists()


def test_a_token_and_the_allow_list_decide() -> None:
    target = python_echo_server(socket.AF_INET, "127.0.0.1")
    with Server("--allow-target", f"localhost:{target}", "--raw-token", "secret") as server:
        for auth in [None, {}, {"token": ""}, {"token": "secre"}, {"token": "secret2"}, {"token": 1}]:
            with pytest.raises(socketio.exceptions.ConnectionError):
                Told(server, "/tcp", auth)
        told = Told(server, "/tcp", {"token": "secret"})
        told.next("peers")
        # The rule has the name; the address would have to be on the list itself.
        assert "not allowed" in told.ask("dial", f"127.0.0.1:{target}")["error"]["message"]
        peer = told.ask("dial", f"localhost:{target}")
        (facts,) = told.next("open")
        assert facts["id"] == peer and facts["direction"] == "out"
        told.ask("data", peer, b"echo me")
        assert told.next("data") == (peer, b"echo me")
        told.ask("close", peer)
        assert told.next("close") == (peer, "closed by a client")
        told.close()


def test_the_programs_are_there() -> None:
    for program in ["nc", "socat", "openssl"]:
        assert shutil.which(program), program
