"""The end of a process: its exit code, and how long it takes; after a fork, after signals, with clients connected."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import wsgi_hosts
from observing import serve
from raw import Poller, websocket
from support import LIMIT, Program, program, run

ABORTED = ("Traceback", "Fatal Python error", "panicked", "exception not rethrown", "core dumped")


DIED = ("Fatal Python error", "panicked", "exception not rethrown", "core dumped")
#: How long an end may take on a loaded machine, in seconds; less than the patience of any host.
SOON = 12.0


def check(server: Program, words: tuple[str, ...] = ABORTED) -> None:
    """Asserts that all processes have ended, and that nothing they have written says that one has died."""
    output = server.wait_for_end_of_output()
    assert not [word for word in words if word in output]


@contextlib.contextmanager
def soon(seconds: float = SOON) -> Iterator[None]:
    """Asserts that a block does not take long."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


GUNICORN = ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "gunicorn-gthread-preload"]


@pytest.mark.parametrize("name", GUNICORN)
def test_gunicorn_ends_at_term(name: str, runs: int) -> None:
    for _ in range(runs):
        with wsgi_hosts.host(name) as server:
            client, poller = websocket(server.port), Poller(server.port)
            poller.join()
            with soon():
                assert server.stop(signal.SIGTERM) == 0
            check(server)
            client.close()


@pytest.mark.parametrize("name", GUNICORN)
def test_gunicorn_reloads_at_hup(name: str, runs: int) -> None:
    with wsgi_hosts.host(name) as server:
        for _ in range(runs):
            client = websocket(server.port)
            client.send('421["pid"]')
            before = client.recv()
            os.kill(server.process.pid, signal.SIGHUP)
            # The old worker tells its client, which comes again.
            with soon():
                wait_for_end(client)
            again = connect(server.port)
            again.send('421["pid"]')
            assert again.recv() != before
            again.close()
        assert server.stop() == 0
        check(server)


def wait_for_end(client: Any) -> None:
    """Waits until the server has ended a connection."""
    try:
        while client.recv():
            pass
    except Exception as error:
        assert "timed out" not in str(error)


def connect(port: int) -> Any:
    """Opens a WebSocket; again, if a worker that ends had accepted it."""
    for _ in range(20):
        try:
            return websocket(port)
        except (AssertionError, OSError):
            time.sleep(0.1)
    return websocket(port)


def test_gunicorn_replaces_workers_after_max_requests() -> None:
    name = "gunicorn-gthread"
    command, mode = wsgi_hosts.HOSTS[name]
    command = [*command[:-1], "--max-requests=5", command[-1]]
    with program(*command, MODE=mode) as server:
        pids = set()
        for _ in range(6):
            client = connect(server.port)
            client.send('421["pid"]')
            pids.add(client.recv())
            for _ in range(5):
                url = f"http://127.0.0.1:{server.port}/"
                with urllib.request.urlopen(url, timeout=10) as response:
                    response.read()
            wait_for_end(client)
        assert len(pids) >= 2
        assert server.stop() == 0
        check(server)


@pytest.mark.parametrize("name", ["werkzeug", "eventlet", "gevent", "waitress", "cheroot", "wsgiref"])
def test_control_c_ends_a_host_at_once(name: str, runs: int) -> None:
    for _ in range(runs):
        with wsgi_hosts.host(name) as server:
            client, poller = websocket(server.port), Poller(server.port)
            poller.join()
            poller.emit("later", 30)
            with soon():
                try:
                    code = server.stop(signal.SIGINT, SOON / 3)
                except subprocess.TimeoutExpired:
                    # wsgiref catches the exception if it is just writing a response.
                    # gevent 26.9.0 looks for signals before it waits for events, and sleeps with one that comes between the two.
                    # cheroot 11.1.2 fills the queue of its threads in the main thread. If the exception comes in `Condition.notify`
                    # of Python 3.11 when that has just woken a thread, the next notification is lost: a thread does not hear that
                    # it should end, and `stop()` waits for it.
                    assert name in ("wsgiref", "gevent", "cheroot")
                    code = server.stop(signal.SIGINT)
            assert code in (0, 1, 130, -signal.SIGINT), code
            check(server, DIED)
            client.close()


def test_exit_in_a_handler_ends_the_handler_alone_on_threads(runs: int) -> None:
    with wsgi_hosts.host("gunicorn-gthread") as server:
        client = websocket(server.port)
        for number in range(max(runs, 5)):
            client.send('42["leave_program"]')
            client.send(f'421["echo",{number}]')
            assert client.recv() == f"431[{number}]"
        client.send('422["threads"]')
        assert int(client.recv()[4:-1]) < 10
        assert server.stop() == 0
        client.close()


SCRIPT = "exits.py"


@pytest.mark.parametrize(
    "how", ["main-returns", "sys-exit", "exception", "fork", "fork-unused", "busy", "no-clients"]
)
def test_programs_that_end_by_themselves(how: str, runs: int) -> None:
    expected = {"sys-exit": 3, "exception": 1}.get(how, 0)
    for _ in range(runs):
        with soon():
            done = run(SCRIPT, how)
        output = done.stdout + done.stderr
        assert done.returncode == expected, output
        assert not [word for word in DIED if word in output], output
        if how != "exception":
            assert done.stderr == "", output


ASGI = ["uvicorn-sansio", "hypercorn", "daphne", "granian", "gunicorn-asgi", "aiohttp", "tornado"]


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ASGI)
def test_an_asyncio_host_ends_at_a_signal(name: str, with_signal: signal.Signals, runs: int) -> None:
    for _ in range(runs):
        with serve(name) as server:
            client, poller = websocket(server.port), Poller(server.port)
            poller.join()
            with soon():
                code = server.stop(with_signal)
            assert code in (0, 1, 130, -with_signal), code
            check(server, DIED)
            client.close()


@pytest.mark.parametrize("name", ["uvicorn-sansio", "aiohttp", "tornado"])
def test_exit_in_a_handler_ends_an_asyncio_host(name: str, runs: int) -> None:
    """As with python-socketio: a task that raises it ends its loop."""
    for _ in range(runs):
        with serve(name) as server:
            client = websocket(server.port)
            client.send('42["leave_program"]')
            with soon():
                assert server.process.wait(LIMIT) == 3
            check(server, DIED)
            client.close()
