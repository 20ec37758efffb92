"""Several workers of one host, without sticky sessions: requests find the owner of their session, and events every client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgi_hosts import uvicorn
from own_host import SERVE
from raw import PATH, Poller, leave_poll, websocket
from support import Program, javascript, program
from websocket import WebSocketException
from wsgi_hosts import BIN, gunicorn, uwsgi

import kokanee
from kokanee import _workers


def on_gunicorn(worker: str, *options: str) -> list[str]:
    """Returns the command of Gunicorn with three workers."""
    return [*gunicorn(worker, "--workers=3", "--graceful-timeout=2", *options)[:-1], "workers_app:app"]


#: The hosts, with the kind of their application, and whether the default run has them.
HOSTS: dict[str, tuple[list[str], str, bool]] = {
    "gunicorn-sync": (on_gunicorn("sync"), "wsgi", False),
    "gunicorn-sync-preload": (on_gunicorn("sync", "--preload"), "wsgi", True),
    "gunicorn-gthread": (on_gunicorn("gthread", "--threads=4"), "wsgi", True),
    "gunicorn-gthread-preload": (on_gunicorn("gthread", "--threads=4", "--preload"), "wsgi", False),
    "gunicorn-gevent": (on_gunicorn("gevent"), "wsgi", False),
    "gunicorn-gevent-preload": (on_gunicorn("gevent", "--preload"), "wsgi", False),
    "gunicorn-asgi": (on_gunicorn("asgi"), "asgi", False),
    "uwsgi": (uwsgi("--threads=2", "--processes=3", "--disable-logging"), "wsgi", False),
    "uvicorn": (uvicorn("--workers=3", app="workers_app:app"), "asgi", True),
    "uvicorn-taken": (
        uvicorn("--workers=3", "--ws=kokanee.uvicorn:WebSocketProtocol", app="workers_app:app"),
        "asgi",
        False,
    ),
    "hypercorn": (
        [str(BIN / "hypercorn"), "--workers=3", "--bind=127.0.0.1:{port}", "workers_app:app"],
        "asgi",
        False,
    ),
    "granian": (
        [
            *(str(BIN / "granian"), "--interface=asgi", "--port={port}", "--workers=3"),
            *("--log-level=error", "workers_app:app"),
        ],
        "asgi",
        False,
    ),
}
for kind in ("wsgi", "asgi"):
    HOSTS[f"own-{kind}"] = ([*SERVE, "--workers=3", "--port={port}", "workers_app:app"], kind, True)
HOSTS["uwsgi"][0][HOSTS["uwsgi"][0].index("--module=wsgi_app:app")] = "--module=workers_app:app"
if not (BIN / "uwsgi").exists():
    del HOSTS["uwsgi"]
EACH = [
    pytest.param(name, marks=() if is_usual else pytest.mark.full)
    for name, (_, _, is_usual) in HOSTS.items()
]


@contextlib.contextmanager
def host(name: str, folder: Path, *more: str, **environment: str) -> Iterator[Program]:
    """Runs a host whose workers meet below a folder."""
    command, kind, _ = HOSTS[name]
    command = [*command[:-1], *more, command[-1]]
    environment = {"XDG_RUNTIME_DIR": str(folder), "KIND": kind, **environment}
    with program(*command, **environment) as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """Gives a folder with a name that is short enough for sockets."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="kk") as name:
        yield Path(name)


def places(folder: Path) -> list[Path]:
    """Returns the sockets of all workers."""
    return sorted(path for path in folder.glob("kokanee-*/*/*") if path.is_socket())


def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """Waits until something is true, and returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError("it did not become true")


class Client:
    """Is a client on a WebSocket, which one worker owns."""

    def __init__(self, port: int) -> None:
        self.connection = websocket(port)
        self.events: list[list[Any]] = []
        self.worker = until(self._welcome)
        self.id = self.call("whoami")

    def _welcome(self) -> Any:
        self._read()
        return next((args[0] for name, *args in self.events if name == "welcome"), None)

    def _read(self) -> str:
        packet: str = self.connection.recv()
        if packet == "2":
            self.connection.send("3")
        elif packet.startswith("42["):
            self.events.append(json.loads(packet[2:]))
        return packet

    def call(self, *args: Any) -> Any:
        """Emits an event, and returns what its handler returns."""
        self.connection.send(f"421{json.dumps(args)}")
        while not (packet := self._read()).startswith("431["):
            pass
        answer = json.loads(packet[3:])
        return answer[0] if answer else None

    def hears(self, *event: Any) -> None:
        """Waits for an event."""
        while list(event) not in self.events:
            self._read()

    def is_there(self) -> bool:
        """Returns whether the connection is open."""
        try:
            return bool(self.call("echo", 1) == 1)
        except Exception:
            return False


def two_workers(port: int) -> tuple[Client, Client]:
    """Returns clients of two workers that know each other."""
    one = Client(port)
    other = until(lambda: _of_another(port, one.worker))
    until(lambda: one.call("where")[1] > 0 and other.call("where")[1] > 0)
    return one, other


def _of_another(port: int, *workers: int) -> Client | None:
    client = Client(port)
    if client.worker not in workers:
        return client
    client.connection.close()
    return None


def request(port: int, sid: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    """Makes a request for a session."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, f"{PATH}polling&sid={sid}", body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", EACH)
def test_clients_of_all_workers_reach_each_other(name: str, folder: Path) -> None:
    with host(name, folder) as server:
        seen = javascript("workers.mjs", server.port)
        assert seen["workers"] == 3
        assert seen["reason"] == "io server disconnect"
        assert seen["transports"] == ["polling", "websocket"]
        assert len(places(folder)) == 3
        if name == "uvicorn":
            # Every handler of a disconnect has run, that of the client of another worker, too.
            server.wait_for("disconnect ", 18)
        server.stop()
        assert not [line for line in server.lines if "Traceback" in line or "Error" in line]
    assert places(folder) == []


def test_requests_of_one_session_may_go_to_any_worker(folder: Path) -> None:
    with host("gunicorn-gthread", folder) as server:
        pollers = [Poller(server.port) for _ in range(12)]
        for poller in pollers:
            poller.join()
        for poller in pollers:
            for number in range(4):
                assert poller.call("echo", number) == [number]
        # A body that is too large is refused by the owner.
        poller = pollers[0]
        status, body = request(server.port, poller.sid, "POST", b"4" * 1_100_000)
        assert status in (400, 413), body


def test_large_messages_pass_between_the_workers_of_the_own_host(folder: Path) -> None:
    text = "x" * 700_000

    def answers(poller: Poller) -> dict[int, Any]:
        seen: dict[int, Any] = {}
        while len(seen) < 2:
            for packet in poller.get().split("\x1e"):
                if packet.startswith("43"):
                    seen[int(packet[2])] = json.loads(packet[3:])
        return seen

    with host("own-wsgi", folder) as server, ThreadPoolExecutor() as pool:
        for _ in range(4):
            poller = Poller(server.port)
            poller.join()
            # A client that does not poll may not send as much: its answers wait for it.
            polled = pool.submit(answers, poller)
            for number in range(2):
                poller.emit("echo", number, text, ack=number)
            assert polled.result(30) == {number: [number, text] for number in range(2)}


@pytest.mark.parametrize("name", [pytest.param("gunicorn-gthread", marks=pytest.mark.full), "own-wsgi"])
def test_a_poll_that_is_given_up_ends_its_session_at_any_worker(name: str, folder: Path) -> None:
    with host(name, folder) as server:
        for _ in range(6):
            poller = Poller(server.port)
            poller.join()
            leave_poll(poller)
        server.wait_for("disconnect ", 6)


def test_a_killed_worker_costs_only_its_own_clients_a_reconnection(folder: Path) -> None:
    with host("gunicorn-gthread", folder) as server:
        one, other = two_workers(server.port)
        poller = until(lambda: _poller_of(server.port, one.worker))
        one.connection.send('42["die"]')
        assert not one.is_there()
        assert other.is_there()
        # Its client has to connect again, with any worker that gets the request.
        for _ in range(6):
            assert request(server.port, poller.sid)[0] == 400
        assert b'"code":1' in request(server.port, poller.sid)[1]
        # The one that has come in its place meets the others.
        newcomer = until(lambda: _new_worker(server.port, one.worker, other))
        newcomer.call("shout", None, None, "still here")
        other.hears("heard", None, "still here")
        other.call("shout", newcomer.id, None, "to you")
        newcomer.hears("heard", newcomer.id, "to you")
        assert other.call("ask", one.id, 1, 5) == "timeout"
        until(lambda: len(places(folder)) <= 3)


def _poller_of(port: int, worker: int) -> Poller | None:
    poller = Poller(port)
    poller.join()
    return poller if poller.call("where")[0][0] == worker else None


def _new_worker(port: int, gone: int, other: Client) -> Client | None:
    client = _of_another(port, gone, other.worker)
    if client is not None and client.call("where")[1] and other.call("where")[1]:
        return client
    return None


@pytest.mark.full
def test_a_killed_worker_does_not_live_on_in_its_children(folder: Path) -> None:
    with host("gunicorn-gthread", folder) as server:
        one, other = two_workers(server.port)
        poller = until(lambda: _poller_of(server.port, one.worker))
        child = one.call("fork")
        try:
            os.kill(one.worker, signal.SIGKILL)
            began = time.monotonic()
            until(lambda: request(server.port, poller.sid, "POST", b"40")[0] == 400)
            assert time.monotonic() - began < 10
            # The killed one's socket is gone, and so is the connection with it.
            until(lambda: other.call("where")[1] == len(places(folder)) - 1)
            newcomer = until(lambda: _new_worker(server.port, one.worker, other))
            newcomer.call("shout", None, None, "still here")
            other.hears("heard", None, "still here")
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("name", ["gunicorn-gthread", pytest.param("gunicorn-sync-preload", marks=pytest.mark.full)])
def test_workers_that_are_replaced_meet_again(name: str, folder: Path) -> None:
    with host(name, folder) as server:
        two_workers(server.port)
        before = places(folder)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: not set(before) & set(places(folder)))

        def two_of_the_new() -> tuple[Client, Client] | None:
            try:
                return two_workers(server.port)
            except (AssertionError, WebSocketException, ConnectionError):
                # An old worker, which has left its place, has still accepted the connection, and ended it.
                return None

        one, other = until(two_of_the_new, 60)
        one.call("shout", None, None, "new")
        other.hears("heard", None, "new")
        seen = javascript("workers.mjs", server.port)
        assert seen["workers"] == 3


@pytest.mark.parametrize("name", ["gunicorn-gthread", "uvicorn", "own-wsgi"])
def test_the_last_words_of_a_worker_reach_the_others(name: str, folder: Path) -> None:
    with host(name, folder, LAST_WORDS="1") as server:
        one, other = two_workers(server.port)
        clients = [one, *(Client(server.port) for _ in range(10))]
        gone = [client.id for client in clients if client.worker == one.worker]
        os.kill(one.worker, signal.SIGTERM)
        for sid in gone:
            other.hears("left", sid)


def test_a_body_that_does_not_arrive_for_another_worker(folder: Path) -> None:
    with host("own-wsgi", folder, "--body-timeout=0.5") as server:
        poller = Poller(server.port)
        poller.join()
        for _ in range(9):
            with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
                head = f"POST {PATH}polling&sid={poller.sid} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
                connection.sendall(head.encode())
                # The owner has a limit of its own, which ends the session.
                answer = connection.recv(1000)
                assert answer == b"" or answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 ")), answer


def test_a_body_for_another_worker_may_be_slow_as_long_as_it_goes_on(folder: Path) -> None:
    with host("own-wsgi", folder, "--body-timeout=0.5") as server:
        poller = Poller(server.port)
        poller.join()
        # A small one moves with its connection, a chunked one is relayed.
        small = f"POST {PATH}polling&sid={poller.sid} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        forms = (small + "Content-Length: 8\r\n\r\n", small + "Transfer-Encoding: chunked\r\n\r\n")
        for head in forms * 4:
            pieces = [bytes([letter]) for letter in b'42["no"]']
            if "chunked" in head:
                pieces = [b"1\r\n%s\r\n" % piece for piece in pieces] + [b"0\r\n\r\n"]
            with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
                connection.sendall(head.encode())
                for piece in pieces:
                    # Together longer than the timeout.
                    time.sleep(0.1)
                    connection.sendall(piece)
                with connection.makefile("rb") as answer:
                    assert answer.readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.full
def test_a_worker_that_restarts_after_so_many_requests_costs_others_nothing(folder: Path) -> None:
    with host("gunicorn-gthread", folder, "--max-requests=100", "--max-requests-jitter=50") as server:
        one, other = two_workers(server.port)
        pollers = [Poller(server.port) for _ in range(10)]
        for poller in pollers:
            with contextlib.suppress(AssertionError):
                poller.join()
        for _ in range(400):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
                connection.request("GET", "/")
                connection.getresponse().read()
                connection.close()
            if not one.is_there() or not other.is_there():
                break
        left = one if one.is_there() else other
        assert left.is_there()
        newcomer = until(lambda: _new_worker(server.port, 0, left))
        left.call("shout", None, None, "still here")
        newcomer.hears("heard", None, "still here")


def test_hosts_that_are_started_by_one_shell_do_not_meet(folder: Path) -> None:
    with host("gunicorn-gthread", folder) as one_host, host("gunicorn-gthread", folder) as another:
        one, other = two_workers(one_host.port)
        third, fourth = two_workers(another.port)
        assert len(set(path.parent for path in places(folder))) == 2
        one.call("shout", None, None, "one")
        third.call("shout", None, None, "three")
        other.hears("heard", None, "one")
        fourth.hears("heard", None, "three")
        # What was sent before has come, if it comes at all.
        one.call("shout", None, None, "last")
        third.call("shout", None, None, "last")
        for client, heard in ((one, "one"), (other, "one"), (third, "three"), (fourth, "three")):
            client.hears("heard", None, "last")
            assert [args[1] for name, *args in client.events if name == "heard"] == [heard, "last"]


@pytest.mark.parametrize(
    "group",
    ["variable", *(pytest.param(group, marks=pytest.mark.full) for group in ("option", "folder"))],
)
def test_processes_of_one_group_find_each_other(group: str, folder: Path) -> None:
    """Two hosts with one worker each, which have nothing else in common."""
    own = folder / "own"
    option = {"option": "'shop'", "folder": repr(str(own)), "variable": "'auto'"}[group]
    environment = {"OPTIONS": f"{{'workers': {option}}}"}
    if group == "variable":
        environment[_workers.VARIABLE] = "shop"
    command = ["gunicorn-gthread", folder, "--workers=1"]
    with host(*command, **environment) as first, host(*command, **environment) as second:
        one, other = Client(first.port), Client(second.port)
        until(lambda: one.call("where")[1] == other.call("where")[1] == 1)
        one.call("shout", None, None, "hello")
        other.hears("heard", None, "hello")
        # `ignore_queue` is for the clients of this process.
        one.call("here", "me")
        one.call("shout", other.id, None, "you")
        one.hears("heard", "here", "me")
        other.hears("heard", other.id, "you")
        assert ["heard", "here", "me"] not in other.events
        if group == "folder":
            assert len(list(own.glob("*/*"))) == 2
    assert places(folder) == []


def test_workers_that_shall_not_meet_do_not(folder: Path) -> None:
    with host("gunicorn-gthread", folder, OPTIONS="{'workers': False}") as server:
        one = Client(server.port)
        assert one.call("where")[1] is None
        assert places(folder) == []
        poller = Poller(server.port)
        statuses = {request(server.port, poller.sid, "POST", b"40")[0] for _ in range(12)}
        assert 400 in statuses


@pytest.mark.parametrize("workers", [True, 4, "", ["auto"], b"auto"])
def test_an_option_that_means_nothing_is_refused(workers: Any) -> None:
    with pytest.raises(TypeError, match="workers is 'auto', False, a name or a folder"):
        kokanee.Server(workers=workers)


def test_a_process_alone_makes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    sio = kokanee.Server()
    sio.emit("nobody hears it")
    assert sio._engine.other_workers() is None
    assert list(folder.iterdir()) == []
    facts = kokanee.doctor(sio).facts["Server"]
    assert facts["workers"].startswith("its clients stay in this process: this process is not a worker")
    monkeypatch.setenv(_workers.VARIABLE, "shop")
    assert kokanee.doctor(sio).facts["Server"]["workers"] == "one of several workers: KOKANEE_WORKER_GROUP=shop"
    sio._engine.close()


def test_what_killed_hosts_have_left_is_removed(folder: Path) -> None:
    base = folder / "base"
    for name in ("0123456789abcdef", "another"):
        (base / name).mkdir(parents=True, mode=0o700)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(base / name / "00000a"))
    base.chmod(0o700)
    first, second = kokanee.Server(workers=str(base)), kokanee.Server(workers=str(base))
    assert first._engine.other_workers() == 0
    assert (base / "another").exists()
    assert not (base / "0123456789abcdef").exists()
    # That of a worker that lives is left alone, and the servers of one program do not meet.
    assert second._engine.other_workers() == 0
    assert len(list(base.glob("*/*"))) == 3
    first._engine.close()
    second._engine.close()
    assert [path.name for path in base.iterdir()] == ["another"]


def test_folders_of_others_are_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    shared = folder / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    link = folder / "link"
    link.symlink_to(folder)
    for unsafe in (shared, link):
        sio = kokanee.Server(workers=str(unsafe))
        assert sio._engine.other_workers() is None
        assert "is not a folder that only this user can enter" in caplog.text
        caplog.clear()
        sio._engine.close()


def test_a_message_queue_connects_the_workers_in_its_own_way() -> None:
    class Queue(kokanee.PubSubManager):
        def _publish(self, data: Any) -> None:
            pass

        def _listen(self) -> Iterator[Any]:
            yield from ()

    assert kokanee.Server(client_manager=Queue())._engine_dict["shared"] is False
    assert kokanee.Server()._engine_dict["shared"] is True


@pytest.mark.full
def test_a_worker_that_hangs_costs_a_timeout(folder: Path) -> None:
    with host("gunicorn-gthread", folder) as server:
        one, other = two_workers(server.port)
        poller = until(lambda: _poller_of(server.port, one.worker))
        os.kill(one.worker, signal.SIGSTOP)
        try:
            began = time.monotonic()
            status = 0
            while status != 503 and time.monotonic() - began < 60:
                with contextlib.suppress(OSError):
                    status, _ = request(server.port, poller.sid, "POST", b"40")
            assert status == 503
            assert other.is_there()
        finally:
            os.kill(one.worker, signal.SIGCONT)
        until(lambda: one.is_there())
