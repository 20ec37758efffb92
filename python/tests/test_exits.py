"""The end of a process: its exit code, and how long it takes; after a fork, after signals, with clients connected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest
import wsgi_hosts
from raw import Poller, websocket
from support import PROGRAMS, program


@pytest.fixture
def runs(request: pytest.FixtureRequest) -> int:
    """Returns how often each case is run."""
    return 50 if request.config.getoption("--full") else 2


ABORTED = ("Traceback", "Fatal Python error", "panicked", "exception not rethrown", "core dumped")


def check(lines: list[str]) -> None:
    """Asserts that nothing in the output says that a process has died."""
    assert not [line for line in lines if any(word in line for word in ABORTED)], lines


GUNICORN = ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "gunicorn-gthread-preload"]


@pytest.mark.parametrize("name", GUNICORN)
def test_gunicorn_ends_at_term(name: str, runs: int) -> None:
    for _ in range(runs):
        with wsgi_hosts.host(name) as server:
            client, poller = websocket(server.port), Poller(server.port)
            poller.join()
            began = time.monotonic()
            assert server.stop(signal.SIGTERM) == 0
            assert time.monotonic() - began < 4
            check(server.lines)
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
            client.settimeout(15)
            try:
                while client.recv():
                    pass
            except Exception as error:
                assert "timed out" not in str(error)
            again = connect(server.port)
            again.send('421["pid"]')
            assert again.recv() != before
            again.close()
        assert server.stop() == 0
        check(server.lines)


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
            client.settimeout(10)
            try:
                while client.recv():
                    pass
            except Exception as error:
                assert "timed out" not in str(error)
        assert len(pids) >= 2
        assert server.stop() == 0
        check(server.lines)


@pytest.mark.parametrize("name", ["werkzeug", "eventlet", "gevent", "waitress", "cheroot", "wsgiref"])
def test_control_c_ends_a_host_at_once(name: str, runs: int) -> None:
    for _ in range(runs):
        with wsgi_hosts.host(name) as server:
            client, poller = websocket(server.port), Poller(server.port)
            poller.join()
            poller.emit("later", 30)
            began = time.monotonic()
            try:
                code = server.stop(signal.SIGINT, 3)
            except subprocess.TimeoutExpired:
                # wsgiref catches the exception if it is just writing a response.
                assert name == "wsgiref"
                code = server.stop(signal.SIGINT, 3)
            assert code in (0, 1, 130, -signal.SIGINT), code
            assert time.monotonic() - began < 7
            deaths = ("Fatal Python error", "panicked", "not rethrown", "core dumped")
            assert not [line for line in server.lines if any(word in line for word in deaths)]
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
    expected = {"sys-exit": 3, "exception": 1, "fork": 0}.get(how, 0)
    for _ in range(runs):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, SCRIPT, how], cwd=PROGRAMS, capture_output=True, text=True, timeout=20
        )
        output = done.stdout + done.stderr
        assert done.returncode == expected, output
        assert "Fatal" not in output and "panicked" not in output, output
        if how != "exception":
            assert done.stderr == "", output
        assert time.monotonic() - began < 6
