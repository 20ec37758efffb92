"""How processes with clients end: at once, with the code that they should, and without a word of complaint."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from client_observing import KINDS, after_others, left, serve
from hostile import hostile, silent
from support import LIMIT, PROGRAMS, Program, free_port, run, until

EACH_KIND = pytest.mark.parametrize("kind", KINDS)
#: What processes write that do not end well.
COMPLAINTS = (
    "Fatal Python error",
    "panicked",
    "Exception ignored",
    "never awaited",
    "never retrieved",
    "Task was destroyed",
    "core dumped",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    with serve("kokanee") as running:
        yield running


@contextlib.contextmanager
def started(port: int, how: str, kind: str, **environment: str) -> Iterator[Program]:
    """Runs a client until it says that it is ready, and to the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "client_exits.py", f"http://127.0.0.1:{port}?scenario={how}", how],
        cwd=PROGRAMS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PACKAGE": "kokanee", "KIND": kind, **environment},
        start_new_session=True,
    )
    running = Program(process, port)
    try:
        running.wait_for("READY")
        yield running
    finally:
        running.kill()


def check(client: Program) -> None:
    client.wait_for_end_of_output()
    found = [word for word in COMPLAINTS if word in client.output]
    assert not found, client.output


@EACH_KIND
@pytest.mark.parametrize("how", ["waits", "waits_for_an_answer", "receives"])
def test_the_interrupt_key_ends_it_at_once(server: Program, how: str, kind: str, runs: int) -> None:
    for _ in range(max(1, runs // 5)):
        begin = after_others(server)
        with started(server.port, how, kind) as client:
            # Python ends by the signal itself, as the shell expects it.
            assert client.stop(signal.SIGINT) == -signal.SIGINT, client.output
            check(client)
        assert "KeyboardInterrupt" in client.output
        until(lambda begin=begin: left(server, begin))


@EACH_KIND
def test_the_interrupt_key_ends_it_while_it_has_no_server(kind: str) -> None:
    with (
        serve("kokanee") as other,
        started(
            other.port, "reconnects", kind, OPTIONS="{'reconnection_delay': 100, 'reconnection_delay_max': 100}"
        ) as client,
    ):
        other.kill()
        client.wait_for("DISCONNECT")
        assert client.stop(signal.SIGINT) == -signal.SIGINT, client.output
        check(client)


#: Clients of both kinds, and those in processes that are patched.
FLAVOURS = pytest.mark.parametrize(
    ("kind", "patch"),
    [("sync", ""), ("async", ""), ("sync", "gevent"), pytest.param("sync", "eventlet", marks=pytest.mark.full)],
)
SLOW = "{'reconnection_delay': 100, 'reconnection_delay_max': 100, 'request_timeout': 100}"


def interrupt(client: Program) -> None:
    """Checks that the interrupt key ends a process as the shell expects it."""
    assert client.stop(signal.SIGINT) == -signal.SIGINT, client.output
    check(client)
    assert "KeyboardInterrupt" in client.output


@FLAVOURS
def test_the_interrupt_key_ends_it_while_its_server_stands_still(kind: str, patch: str) -> None:
    # Clients do not notice by themselves.
    with serve("kokanee", OPTIONS="{'ping_timeout': 100}") as other:
        for how in ("waits", "waits_for_an_answer", "receives", "emits", "many"):
            with started(other.port, how, kind, PATCH=patch) as client:
                other.process.send_signal(signal.SIGSTOP)
                try:
                    interrupt(client)
                finally:
                    other.process.send_signal(signal.SIGCONT)


@FLAVOURS
def test_the_interrupt_key_ends_it_while_it_connects(kind: str, patch: str) -> None:
    with hostile(silent) as port:
        for how in ("connects", "connects_simply"):
            with started(port, how, kind, PATCH=patch, OPTIONS=SLOW) as client:
                interrupt(client)
    with started(free_port(), "tries", kind, PATCH=patch, OPTIONS=SLOW) as client:
        interrupt(client)


@FLAVOURS
def test_the_interrupt_key_ends_it_while_a_handler_blocks(server: Program, kind: str, patch: str) -> None:
    for how in ("blocks", "blocks_in_main"):
        begin = after_others(server)
        with started(server.port, how, kind, PATCH=patch) as client:
            # In a program of asyncio, the first press cancels the main task, for which the loop must run.
            interrupt(client)
        until(lambda begin=begin: left(server, begin))


@pytest.mark.parametrize("patch", ["gevent", pytest.param("eventlet", marks=pytest.mark.full)])
def test_a_patched_process_ends_with_its_code(server: Program, patch: str) -> None:
    for how, code in {"ends": 0, "ends_after_disconnect": 0, "raises": 1, "exits": 5}.items():
        begin = after_others(server)
        with started(server.port, how, "sync", PATCH=patch) as client:
            assert client.process.wait(LIMIT) == code, client.output
            check(client)
        until(lambda begin=begin: left(server, begin))
    with serve("kokanee") as other, started(other.port, "reconnects", "sync", PATCH=patch, OPTIONS=SLOW) as client:
        other.kill()
        client.wait_for("DISCONNECT")
        interrupt(client)


@EACH_KIND
@pytest.mark.parametrize("options", ["{}", "{'handle_sigint': False}"])
def test_a_programs_own_handler_of_the_key_stays(server: Program, kind: str, options: str) -> None:
    with started(server.port, "with_a_handler", kind, OPTIONS=options) as client:
        assert client.stop(signal.SIGINT) == 7, client.output
        assert client.output.count("MINE") == 1
        check(client)


@EACH_KIND
def test_a_signal_that_ends_a_process_ends_this_one(server: Program, kind: str) -> None:
    with started(server.port, "waits", kind) as client:
        assert client.stop(signal.SIGTERM) == -signal.SIGTERM
        check(client)


@EACH_KIND
@pytest.mark.parametrize(
    ("how", "code"),
    [("ends", 0), ("ends_after_disconnect", 0), ("raises", 1), ("exits", 5), ("connects_while_handlers_run", 0)],
)
def test_a_process_ends_with_its_code(server: Program, how: str, code: int, kind: str, runs: int) -> None:
    for _ in range(max(1, runs // 5)):
        begin = after_others(server)
        with started(server.port, how, kind) as client:
            assert client.process.wait(LIMIT) == code, client.output
            check(client)
        until(lambda begin=begin: left(server, begin))


@EACH_KIND
def test_what_was_emitted_before_the_end_arrives(server: Program, kind: str) -> None:
    begin = after_others(server)
    with started(server.port, "ends", kind) as client:
        assert client.process.wait(LIMIT) == 0, client.output
    until(lambda: left(server, begin))
    assert any("last words" in line for line in server.lines[begin:])


@EACH_KIND
def test_an_import_starts_nothing(kind: str) -> None:
    done = run("client_exits.py", "http://127.0.0.1:1", "only_imports", PACKAGE="kokanee", KIND=kind)
    assert "THREADS ['MainThread'] 1" in done.stdout, done.stdout + done.stderr


@EACH_KIND
@pytest.mark.parametrize("how", ["forks", "forks_while_connected"])
def test_a_process_that_forks(server: Program, how: str, kind: str) -> None:
    begin = after_others(server)
    with started(server.port, how, kind) as client:
        assert client.process.wait(LIMIT) == 0, client.output
        check(client)
    assert "CHILD 0" in client.output
    assert "ECHO False" not in client.output
    assert client.output.count("ECHO True") == (1 if how == "forks_while_connected" and kind == "async" else 2)
    until(lambda: left(server, begin))
