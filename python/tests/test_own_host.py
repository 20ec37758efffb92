"""The package's own host: Socket.IO beside an application, how it starts and ends, workers, and reloading."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import websocket as websocket_client
from kokanee import _run, _serve_master, _serve_options
from own_host import SERVE, serve
from raw import Poller, exchange_half_closed, leave_poll, websocket
from support import PROGRAMS, Program, free_port, javascript, program, until
from test_own_host_wsgi import request

import kokanee

DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}


@pytest.mark.parametrize("app", ["own_wsgi:app", "own_wsgi:nested", "own_asgi:app", "own_asgi:nested", "own_wsgi:sio", "own_asgi:sio"])
def test_socketio_beside_an_application_and_nested_in_one(app: str) -> None:
    with serve(app) as server:
        for transports in ("polling,websocket",) if "sio" in app else ("polling", "websocket", "polling,websocket"):
            seen = javascript("echo.mjs", server.port, transports)
            expected = transports.rsplit(",", 1)[-1]
            assert seen == {"transport": expected, "ack": DATA, "back": [DATA]}
            server.wait_for("connect ")
            server.wait_for("disconnect client disconnect")
            server.lines.clear()
        assert server.stop() == 0


def test_flask_socketio() -> None:
    pytest.importorskip("flask_socketio")
    with program("own_flask_socketio.py") as server:
        for transports in ("polling", "websocket", "polling,websocket"):
            assert javascript("echo.mjs", server.port, transports)["ack"] == DATA
            server.wait_for("message /socket.io/")
            server.lines.clear()
        assert request(server, "GET", "/")[1] == b"a page"


def test_the_request_of_a_connection_can_be_asked_for() -> None:
    for app in ("own_wsgi:app", "own_wsgi:nested"):
        with serve(app, "--trusted-proxies", "loopback") as server:
            opened = websocket_client.create_connection(
                f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket", timeout=10,
                origin=f"https://127.0.0.1:{server.port}",
                header={"X-Test": "yes", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"},
            )  # fmt: skip
            opened.send("40")
            opened.recv()
            assert json.loads(server.wait_for("connect {").partition(" ")[2]) == {
                "PATH_INFO": "/socket.io/",
                "REMOTE_ADDR": "192.0.2.1",
                "HTTP_X_TEST": "yes",
                "wsgi.url_scheme": "https",
                "SERVER_SOFTWARE": f"kokanee/{__import__('kokanee').__version__}",
            }
            opened.close()


@pytest.mark.parametrize(("allowed", "origins"), [
    (None, {"http://evil.example": 400, "http://{own}": 200, "https://{own}": 200}),
    (["http://good.example"], {"http://good.example": 200, "http://evil.example": 400}),
    ("*", {"http://evil.example": 200}),
])  # fmt: skip
def test_pages_of_other_origins(allowed: Any, origins: dict[str, int]) -> None:
    with serve("own_wsgi:app", ORIGINS=json.dumps(allowed)) as server:
        for origin, status in origins.items():
            origin = origin.format(own=f"127.0.0.1:{server.port}")
            path = "/socket.io/?EIO=4&transport=polling"
            response, body = request(server, "GET", path, Origin=origin)
            assert (response.status, body[:1]) == (status, b"0" if status == 200 else b'"')
            if status != 200:
                server.wait_for("is not an accepted origin")


def test_a_poll_ends_with_its_client() -> None:
    for app in ("own_wsgi:app", "own_wsgi:nested"):
        with serve(app) as server:
            client = Poller(server.port)
            client.join()
            leave_poll(client, 2)
            # The next one is not a second one at the same time.
            client.emit("my_message", "x")
            assert client.until("42").startswith("42")


@pytest.mark.parametrize("app", ["own_wsgi:app", "own_wsgi:nested", "own_asgi:app", "own_asgi:nested"])
def test_a_client_that_has_ended_its_stream_is_answered(app: str) -> None:
    def ask(head: str, body: str = "") -> str:
        request = f"{head} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        return exchange_half_closed(server.port, request.encode()).decode()

    with serve(app) as server:
        assert ask("GET /slow?0.3").endswith("\r\n\r\nslow")
        assert ask("GET /stream").endswith("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        assert ask("POST /echo", "abc").endswith("\r\n\r\nabc")
        opened = ask("GET /socket.io/?EIO=4&transport=polling")
        sid = json.loads(opened.partition("\r\n\r\n0")[2])["sid"]
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        assert ask(f"POST {path}", "40").endswith("\r\n\r\nok")
        # A poll that waits would wait for nobody: most clients that end their stream have left.
        assert Poller(server.port, sid).until("40")
        assert ask(f"GET {path}") == ""


def test_who_has_left_before_its_turn_is_not_asked_for(tmp_path: Path) -> None:
    with serve("own_asgi:app") as server:
        blocking = websocket(server.port)
        server.wait_for("connect ")
        server.lines.clear()
        blocking.send(f'42["block","{tmp_path}/go"]')
        server.wait_for("blocks")
        leaving = Poller(server.port)
        leaving.post("40")
        leaving.post("1")
        until(lambda: leaving.request("POST", b"3")[0] == 400)
        (tmp_path / "go").touch()
        staying = Poller(server.port)
        staying.join()
        assert len([line for line in server.lines if line.startswith("connect ")]) == 1
        assert not [line for line in server.lines if line.startswith("disconnect ")]
        blocking.close()
        server.wait_for("disconnect ")


@pytest.mark.parametrize("app", ["own_wsgi:app", "own_asgi:app"])
def test_after_a_shutdown_the_next_client_starts_the_server_again(app: str) -> None:
    with serve(app) as server:
        client = websocket(server.port)
        assert request(server, "GET", "/shut_down")[1] == b"shut down"
        server.wait_for("disconnect server disconnect")
        assert client.recv_data(control_frame=True)[0] == websocket_client.ABNF.OPCODE_CLOSE
        server.lines.clear()
        # The rest of the application is served as before.
        assert request(server, "GET", "/echo")[0].status == 200
        poller = Poller(server.port)
        poller.join()
        assert poller.call("my_message", DATA) == [DATA]
        assert server.stop() == 0
        server.wait_for("disconnect server disconnect")
        assert not [line for line in server.lines if "Traceback" in line]


def certificate(folder: Path) -> tuple[str, str]:
    """Makes a certificate of its own authority."""
    names = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-out", names[0], "-keyout", names[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return names


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_tls(tmp_path: Path) -> None:
    certfile, keyfile = certificate(tmp_path)
    for app in ("own_wsgi:app", "own_asgi:nested"):
        with serve(app, "--certfile", certfile, "--keyfile", keyfile) as server:
            context = ssl.create_default_context(cafile=certfile)
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=context)
            connection.request("GET", "/scope")
            body = json.loads(connection.getresponse().read())
            assert body.get("wsgi.url_scheme", body.get("scheme")) == "https"
            connection.close()
            for transports in ("polling", "polling,websocket"):
                assert javascript("echo.mjs", server.port, transports, "https")["ack"] == DATA
            server.wait_for(f"listening on https://127.0.0.1:{server.port}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


def wait_for_path(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize("app", ["own_wsgi:app", "own_asgi:app"])
def test_a_unix_socket(app: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    # What a program that was killed has left.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    process = subprocess.Popen([*SERVE, app, "--uds", str(path), "--trusted-proxies=unix"], cwd=PROGRAMS, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == f"kokanee: listening on unix:{path}\n"
        connection = _UnixConnection(path)
        connection.request("GET", "/environ" if "wsgi" in app else "/scope")
        body = json.loads(connection.getresponse().read())
        assert body.get("REMOTE_ADDR", body.get("client")) in ("", None)
        assert body.get("server") == (None if "wsgi" in app else [str(path), None])
        # WSGI wants host and port, of which a Unix socket has none: they are those that the client asks for.
        hosts = {"a.b": ("a.b", "80"), "a:8000": ("a", "8000"), "[::1]": ("[::1]", "80"), "[::1]:8": ("[::1]", "8"), "": ("localhost", "80")}
        for host, expected in hosts.items() if "wsgi" in app else ():
            connection.request("GET", "/environ", headers={"Host": host})
            body = json.loads(connection.getresponse().read())
            assert (body["SERVER_NAME"], body["SERVER_PORT"]) == expected
        connection.request("GET", "/socket.io/?EIO=4&transport=polling")
        assert connection.getresponse().read().startswith(b"0{")
        headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        connection.request("GET", "/environ" if "wsgi" in app else "/scope", headers=headers)
        body = json.loads(connection.getresponse().read())
        assert (body.get("REMOTE_ADDR") or body["client"][0]) == "192.0.2.7"
        assert body.get("wsgi.url_scheme", body.get("scheme")) == "https"
        assert body.get("SERVER_PORT", "443") == "443"
        again = subprocess.run([*SERVE, app, "--uds", str(path)], cwd=PROGRAMS, capture_output=True, text=True, timeout=20)
        assert (again.returncode, again.stderr) == (1, f"kokanee: another program listens on {path}\n")
    finally:
        process.terminate()
    assert process.wait(10) == 0
    assert not path.exists()


@pytest.mark.parametrize(("app", "number"), [
    ("own_wsgi:app", signal.SIGTERM),
    ("own_wsgi:app", signal.SIGINT),
    ("own_wsgi:nested", signal.SIGTERM),
    ("own_asgi:app", signal.SIGTERM),
    ("own_asgi:app", signal.SIGINT),
    ("own_asgi:nested", signal.SIGTERM),
])  # fmt: skip
def test_a_signal_ends_it(app: str, number: int) -> None:
    with serve(app) as server:
        client, poller = websocket(server.port), Poller(server.port)
        poller.join()
        polling = threading.Thread(target=poller.request, args=("GET",))
        polling.start()
        time.sleep(0.2)
        began = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - began < 4
        server.wait_for("disconnect server disconnect")
        assert not [line for line in server.lines if "Traceback" in line]
        client.close()
        polling.join(5)
        assert not polling.is_alive()


@pytest.mark.parametrize("app", ["own_wsgi:app", "own_asgi:app"])
def test_requests_that_run_are_answered_before_the_end(app: str) -> None:
    with serve(app) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/slow?0.7")
        server.wait_for("slow begins")
        server.process.send_signal(signal.SIGTERM)
        assert connection.getresponse().read() == b"slow"
        assert server.process.wait(10) == 0
        connection.close()


def test_a_stream_that_runs_is_sent_before_the_end() -> None:
    for app in ("own_wsgi:app", "own_asgi:app"):
        with serve(app) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", "/trickle?8")
            response = connection.getresponse()
            assert response.read(1) == b"x"
            server.process.send_signal(signal.SIGTERM)
            assert response.read() == b"x" * 7
            assert server.process.wait(10) == 0
            connection.close()


def test_a_server_is_served_again_after_its_end(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    (tmp_path / "twice.py").write_text(TWICE.format(ports=ports))
    process = subprocess.Popen([sys.executable, "twice.py"], cwd=tmp_path)
    try:
        for port in ports:
            wait_for_answer(port, b"hello")
            assert javascript("echo.mjs", port, "websocket")["ack"] == DATA
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()


TWICE = """
import kokanee
sio = kokanee.Server(async_mode="threading")
@sio.event
def my_message(sid, data):
    sio.emit("back", data, to=sid)
    return data
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
for port in {ports}:
    sio.run(app, port=port)
"""


def test_the_graceful_end_has_a_limit_and_a_second_interrupt_ends_at_once() -> None:
    for options, numbers, code in (
        (["--graceful-timeout", "0.3"], [signal.SIGTERM], 0),
        ([], [signal.SIGINT, signal.SIGINT], 130),
    ):
        with serve("own_wsgi:app", *options) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", "/slow?20")
            server.wait_for("slow begins")
            began = time.monotonic()
            for number in numbers:
                server.process.send_signal(number)
                time.sleep(0.3)
            assert server.process.wait(10) == code
            assert time.monotonic() - began < 5
            connection.close()


def test_run_of_a_server_returns_and_the_program_goes_on() -> None:
    with program("own_wsgi.py", OPTIONS=json.dumps({"access_log": True})) as server:
        assert javascript("echo.mjs", server.port, "websocket")["ack"] == DATA
        request(server, "GET", "/echo")
        server.wait_for('"GET /echo HTTP/1.1" 200 0')
        assert server.stop() == 0
        server.wait_for("returned")


@pytest.mark.parametrize(("name", "value", "meant"), [
    ("port", "5000", "a whole number"), ("port", True, "a whole number"), ("workers", 1.5, "a whole number"),
    ("host", None, "a text"), ("root_path", None, "a text"), ("trusted_proxies", None, "a text with commas"),
    ("trusted_proxies", [1], "a text with commas"), ("body_timeout", "1", "a number of seconds"), ("reload", 1, "True or False"),
])  # fmt: skip
def test_options_of_a_wrong_type_say_what_was_meant(name: str, value: Any, meant: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {meant}"):
        kokanee.run(lambda environ, start_response: [], **{name: value})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_ends_a_worker_at_its_start_is_said(tmp_path: Path, workers: str) -> None:
    (tmp_path / "exits.py").write_text("raise SystemExit('stop it')\n")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("no PEM")
    tls = ("--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem"))
    for arguments, text in ((("exits:app", "--app-dir", str(tmp_path)), "stop it\n"), (("own_wsgi:app", *tls), "kokanee: TLS: ")):
        command = [*SERVE, *arguments, "--port", "0", "--workers", workers]
        done = subprocess.run(command, cwd=PROGRAMS, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and done.stderr.startswith(text), done.stderr
        assert "Traceback" not in done.stderr


def test_a_body_may_be_slow_as_long_as_it_goes_on() -> None:
    with serve("own_wsgi:app", "--body-timeout", "1") as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % 10)
        for _ in range(10):
            connection.sendall(b"x")
            # Together longer than the timeout.
            time.sleep(0.2)
        with connection.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\nxxxxxxxxxx")
        connection.close()
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        connection.sendall(head % 10 + b"x")
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 408 ")
        connection.close()


def test_a_file_that_is_not_a_socket_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "important"
    path.write_text("precious")
    command = [*SERVE, "own_wsgi:app", "--uds", str(path)]
    done = subprocess.run(command, cwd=PROGRAMS, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (1, f"kokanee: {path} exists and is not a socket\n")
    assert path.read_text() == "precious"


def test_the_end_of_a_host_leaves_the_others_of_its_process_alone() -> None:
    with program("own_two.py") as server:
        port = json.loads(server.wait_for("ports ").partition(" ")[2])[1]
        opened = until(lambda: _opened(port))
        os.kill(server.process.pid, signal.SIGTERM)
        server.wait_for("the first has ended")
        for one in (opened, websocket(port)):
            one.send('420["echo",1]')
            assert one.recv() == "430[1]"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"a page"


def _opened(port: int) -> Any:
    with contextlib.suppress(OSError):
        return websocket(port)


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["no_such_module:app"], 1, "there is no module 'no_such_module' in "),
    (["own_wsgi:no_such"], 1, "'own_wsgi' has no attribute 'no_such'; it has app, sio"),
    (["own_wsgi:make"], 1, "is not an application: WSGI calls it with (environ, start_response)"),
    (["own_wsgi:kokanee.Server"], 1, "kokanee.server:Server is a class, not an application: give an instance of it, as with Server()"),
    (["own_wsgi:kokanee.ASGIApp", "--interface", "asgi"], 1, "is a class, not an application"),
    (["own_wsgi:PATHS"], 1, "is not an application: it cannot be called"),
    (["own_wsgi:app", "--host", "no.such.invalid"], 1, "there is no host 'no.such.invalid'"),
    (["own_wsgi:app", "--certfile", "/no/such"], 2, "certfile and keyfile go together"),
    (["own_wsgi:app", "--loop", "x"], 2, "loop is one of auto, asyncio, uvloop, not 'x'"),
    (["own_wsgi:app", "--trusted-proxies", "x"], 2, "\"x\" is not an address, a network"),
    (["own_wsgi:app", "--reload", "--workers", "2"], 2, "reload is for one worker"),
    (["own_wsgi:app", "--uds", ""], 2, "uds is not empty"),
    (["own_wsgi:app", "--graceful-timeout", "-1"], 2, "graceful_timeout is not negative"),
    (["own_wsgi:app", "--max-request-size", "-1"], 2, "max_request_size is not negative"),
])  # fmt: skip
def test_what_is_wrong_is_said(arguments: list[str], code: int, text: str) -> None:
    command = [*SERVE, *arguments, "--port", "0"]
    done = subprocess.run(command, cwd=PROGRAMS, capture_output=True, text=True, timeout=20)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_handlers_on_greenlets_are_refused() -> None:
    program = "import kokanee; kokanee.Server(async_mode='gevent').run(port=0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert "ValueError: Kokanee's own host runs handlers on threads, and not with async_mode='gevent'" in done.stderr


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options in ([], ["--workers", "2"]):
            command = [*SERVE, "own_wsgi:app", "--port", str(port), *options]
            done = subprocess.run(command, cwd=PROGRAMS, capture_output=True, text=True, timeout=20)
            text = f"kokanee: cannot listen on 127.0.0.1:{port}: Address already in use\n"
            assert (done.returncode, done.stderr) == (1, text)


def test_factories() -> None:
    for arguments in (["own_wsgi:make()"], ["own_wsgi:make", "--factory"], ["own_wsgi.py"]):
        with serve(*arguments) as server:
            assert request(server, "GET", "/write")[1] == b"written,returned"


#: Classes each of whose instances answers one request.
CLASSES = """
class Wsgi:
    def __init__(self, environ, start_response):
        self.start_response = start_response
    def __iter__(self):
        self.start_response("200 OK", [])
        yield b"wsgi"

class Asgi:
    def __init__(self, scope, receive, send):
        self.scope, self.send = scope, send
    def __await__(self):
        return self.answer().__await__()
    async def answer(self):
        assert self.scope["type"] == "http"
        await self.send({"type": "http.response.start", "status": 200})
        await self.send({"type": "http.response.body", "body": b"asgi"})
"""


@pytest.mark.parametrize(("name", "body"), [("Wsgi", b"wsgi"), ("Asgi", b"asgi"), ("make()", b"wsgi")])
def test_a_class_whose_instances_answer_one_request_is_an_application(name: str, body: bytes, tmp_path: Path) -> None:
    (tmp_path / "classes.py").write_text(f"{CLASSES}\ndef make():\n    return Wsgi\n")
    with serve(f"classes:{name}", "--app-dir", str(tmp_path)) as server:
        assert request(server, "GET", "/")[1] == body


def test_a_signal_ends_a_server_wherever_its_main_thread_is() -> None:
    with program("stops_anywhere.py") as server:
        server.wait_for("ENDED")


# Workers.


def pids(server: Program, count: int, tries: int = 100) -> set[int]:
    """Returns the processes that answer, as soon as there are so many; several requests at once, so that all are busy."""
    found: set[int] = set()
    for _ in range(tries):
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(8)]
        for step in ("connect", "request", "read"):
            for one in connections:
                with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                    if step == "connect":
                        one.connect()
                    elif step == "request":
                        one.request("GET", "/pid")
                    else:
                        found.add(int(one.getresponse().read()))
                        one.close()
        if len(found) >= count:
            break
        time.sleep(0.05)
    return found


def test_workers_share_the_socket_are_replaced_and_end_together() -> None:
    with serve("own_wsgi:app", "--workers", "2") as server:
        server.wait_for("serves on", 2)
        before = pids(server, 2)
        assert len(before) == 2 and server.process.pid not in before
        # One that dies is replaced.
        dying = next(iter(before))
        os.kill(dying, signal.SIGKILL)
        server.wait_for(f"worker {dying} has ended with signal 9; another one follows")
        server.wait_for("serves on", 3)
        after = pids(server, 2)
        assert len(after) == 2 and len(after & before) == 1
        # More and less.
        server.process.send_signal(signal.SIGTTIN)
        server.wait_for("serves on", 4)
        assert len(pids(server, 3)) == 3
        server.process.send_signal(signal.SIGTTOU)
        # A rolling replacement.
        time.sleep(0.3)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while pids(server, 2, 5) & (after | before) and time.monotonic() < deadline:
            time.sleep(0.1)
        replaced = pids(server, 2)
        assert len(replaced) == 2 and not replaced & (after | before)
        assert server.stop() == 0
        for pid in replaced:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


@pytest.mark.parametrize("named", [False, True])
def test_a_process_that_a_worker_starts_is_not_a_worker(named: bool) -> None:
    environment = {"KOKANEE_WORKER_GROUP": "shop"} if named else {}
    with serve("own_wsgi:app", "--workers", "2", **environment) as server:
        own, started = json.loads(request(server, "GET", "/groups")[1])
    if named:
        assert own == started == "one of several workers: KOKANEE_WORKER_GROUP=shop"
    else:
        assert own == "one of several workers: a worker of Kokanee's own host"
        assert started.startswith("its clients stay in this process: this process is not a worker")


def test_workers_whose_application_does_not_start_are_not_started_again() -> None:
    for app, code in (("own_wsgi:no_such", 1), ("own_asgi:app", 3)):
        command = [*SERVE, app, "--port", "0", "--workers", "2"]
        environment = {**os.environ, "FAIL": "1"}
        done = subprocess.run(command, cwd=PROGRAMS, capture_output=True, text=True, timeout=20, env=environment)
        assert done.returncode == code, done.stderr


def test_workers_end_with_their_master() -> None:
    with serve("own_wsgi:app", "--workers", "2") as server:
        running = pids(server, 2)
        server.process.kill()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and any(map(is_alive, running)):
            time.sleep(0.05)
        assert not [pid for pid in running if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] not in "ZX"
    except OSError:
        return False


def test_run_with_workers_of_an_application_object() -> None:
    with program("own_wsgi.py", OPTIONS=json.dumps({"workers": 2})) as server:
        assert len(pids(server, 2)) == 2
        assert server.stop() == 0
        server.wait_for("returned")
        assert sum("returned" in line for line in server.lines) == 1


#: An application that starts as the file beside it says: `slow`, `fail` or at once.
STARTING = """
import os
import pathlib
import time
how = pathlib.Path(__file__).with_name("how")
while how.read_text() == "slow":
    time.sleep(0.02)
if how.read_text() == "fail":
    raise RuntimeError("not now")
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


def test_a_replacement_waits_for_workers_that_start_and_the_master_goes_on(tmp_path: Path) -> None:
    (tmp_path / "starting.py").write_text(STARTING)
    how = tmp_path / "how"
    how.write_text("")
    with serve("starting:app", "--app-dir", str(tmp_path), "--workers", "2") as server:
        server.wait_for("serves on", 2)
        before = pids(server, 2)
        how.write_text("fail")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("the new worker does not start; the old ones go on")
        how.write_text("slow")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        # One more and one less meanwhile: the old ones stay until the new ones serve.
        for number in (signal.SIGTTIN, signal.SIGTTOU):
            server.process.send_signal(number)
            time.sleep(0.2)
        assert pids(server, 2) == before
        how.write_text("")
        server.wait_for("serves on", 4)
        until(lambda: len(seen := pids(server, 3, 40)) == 2 and not seen & before)
        # It ends while it waits, too.
        how.write_text("slow")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert server.stop(signal.SIGTERM, 8) == 0


def test_one_worker_less_when_all_have_just_died() -> None:
    with serve("own_wsgi:app", "--workers", "2") as server:
        server.wait_for("serves on", 2)
        for pid in pids(server, 2):
            os.kill(pid, signal.SIGKILL)
        server.wait_for("another one follows", 2)
        server.process.send_signal(signal.SIGTTOU)
        server.wait_for("serves on", 3)
        assert len(pids(server, 2, 40)) == 1
        assert server.stop() == 0


def test_a_worker_says_once_that_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice:
        def __init__(self, app: Any, options: Any, ready: Any, master: int) -> None:
            self.ready = ready

        def serve(self, sockets: Any) -> int:
            self.ready()
            # The number of the descriptor is that of something else now.
            others.extend(os.pipe())
            self.ready()
            return 0

    others: list[int] = []
    monkeypatch.setattr(_run, "Worker", Twice)
    options = _serve_options.make_options({})
    master = _serve_master.Master(None, options, [])
    reader, writer = os.pipe()
    assert master._serve_as_worker(writer, os.getpid()) == 0
    assert os.read(reader, 2) == b"1"
    assert writer in others
    os.write(others[1], b"x")
    assert os.read(others[0], 2) == b"x"
    for end in (reader, *others, *master._wake):
        os.close(end)


# Reloading.

PROGRAM = """
import kokanee
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"version {version}"]
{last}
"""


def wait_for_answer(port: int, expected: bytes) -> None:
    """Waits until an application answers like this."""
    deadline = time.monotonic() + 20
    answer = b""
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            answer = connection.getresponse().read()
            connection.close()
            if answer == expected:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    raise AssertionError(f"{answer!r} is not {expected!r}")


def wait_for_mistake(process: subprocess.Popen[str], text: str) -> None:
    """Waits until a program has said what is wrong, and that it waits for a change."""
    assert process.stderr is not None
    lines = []
    while not lines or "waiting for a change" not in lines[-1]:
        assert (line := process.stderr.readline()), lines
        lines.append(line)
    assert [line for line in lines if line.startswith(text)], lines


@pytest.mark.parametrize("how", ["serve", "run"])
def test_a_change_of_a_file_starts_the_program_anew(how: str, tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "reloaded.py"
    last = f"if __name__ == '__main__': kokanee.run(app, port={port}, reload=True)"
    file.write_text(PROGRAM.format(version=1, last=last))
    command = [*SERVE, "reloaded:app", "--port", str(port), "--reload"]
    if how == "run":
        command = [sys.executable, "reloaded.py"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        wait_for_answer(port, b"version 1")
        file.write_text(PROGRAM.format(version=2, last=last))
        wait_for_answer(port, b"version 2")
        # A mistake does not end it: it says what is wrong, and waits.
        file.write_text("this is no program")
        wait_for_mistake(process, "SyntaxError: ")
        # The mistake may be in a module that did not exist before.
        file.write_text("import beside\n" + PROGRAM.format(version=3, last=last))
        wait_for_mistake(process, "ModuleNotFoundError: No module named 'beside'")
        (tmp_path / "beside.py").write_text("")
        wait_for_answer(port, b"version 3")
        file.write_text("this is no program")
        wait_for_mistake(process, "SyntaxError: ")
    finally:
        process.terminate()
    assert process.wait(15) == 0
