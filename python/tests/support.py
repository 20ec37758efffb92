"""Programs under test, and the clients that talk to them: each in a process of its own, on a port of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

HERE = pathlib.Path(__file__).parent
PROGRAMS = HERE / "programs"
#: The published JavaScript clients are those of the project's other suites.
INTEROP = HERE.parent.parent / "tests" / "interop"
#: Where ports are looked for: the system takes those of clients from above.
PORTS = range(10_000, 32_000)
#: How the reason begins for which a test is skipped that this system cannot run, whatever is installed.
CANNOT = "cannot run here: "
#: How long a test waits for what must come, in seconds: far longer than it takes on a loaded machine.
LIMIT = 30.0


def python_path(*folders: pathlib.Path | str) -> str:
    """Returns where programs find modules: in folders, then where the tests find theirs.

    The folder of the source is not among them: the package that is tested is the one that is installed.
    """
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


def free_port() -> int:
    """Returns a port that nothing listens on."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def until(question: Callable[[], Any], seconds: float = LIMIT, pause: float = 0.01) -> Any:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer or time.monotonic() > deadline:
            assert answer, answer
            return answer
        time.sleep(pause)


class Program:
    """A process whose output can be waited for."""

    #: Those that run, and those that have ended since the test began: what they wrote is shown if it fails.
    known: list[Program] = []

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        #: What it has written until now.
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.known.append(self)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """Returns what it has written until now."""
        return "\n".join(self.lines)

    def wait_for(self, text: str, count: int = 1, seconds: float = LIMIT) -> str:
        """Waits until so many lines of the output contain a text, and returns the last of them."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(found()) >= count, seconds)
            assert len(found()) >= count, f"fewer than {count} lines with {text!r}"
            return found()[count - 1]

    def wait_for_end_of_output(self, seconds: float = LIMIT) -> str:
        """Waits until nothing can be written any more, as all its processes have ended, and returns what was written."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, seconds), "a process still runs"
        return self.output

    def stop(self, with_signal: int = signal.SIGTERM, seconds: float = LIMIT) -> int:
        """Ends the process, and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Ends the process and those that it has started."""
        kill_group(self.process)

    def __str__(self) -> str:
        return f"{self.process.args}: code {self.process.poll()}"


@contextlib.contextmanager
def program(*arguments: str, port: int | None = None, **environment: str) -> Iterator[Program]:
    """Runs a program of Python, or another command, until the block ends; it listens on the port in `$PORT`.

    It must end within `LIMIT` when it is asked to, unless it runs python-socketio, where that is not ours to test.
    """
    port = port or free_port()
    arguments = tuple(word.replace("{port}", str(port)) for word in arguments)
    command = [sys.executable, *arguments] if arguments[0].endswith(".py") else list(arguments)
    process = subprocess.Popen(
        command,
        cwd=PROGRAMS,
        # Stays open: some servers end with it.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PORT": str(port), "PYTHONUNBUFFERED": "1", **environment},
        # A group of its own, with what it starts.
        start_new_session=True,
    )
    running = Program(process, port)
    try:
        wait_for_port(port, process)
        yield running
        if environment.get("PACKAGE") != "socketio":
            running.stop()
    finally:
        running.kill()


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Ends a process that leads a group, and the others of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def make_certificate(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns the files of a new key and of its certificate for this machine."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return key, certificate


def grouped(hosts: Iterable[str], seldom: Iterable[str] = ()) -> list[Any]:
    """Returns hosts as parameters; those of `seldom` run with `--full` only.

    The tests of one run in the same worker of pytest-xdist, as they share its process.
    """
    return [
        pytest.param(
            host, marks=[pytest.mark.xdist_group(host), *([pytest.mark.full] if host in seldom else [])]
        )
        for host in hosts
    ]


def wait_for_port(port: int, process: subprocess.Popen[str], seconds: float = LIMIT) -> None:
    """Waits until something listens on a port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


def run(
    *command: str, seconds: float = 2 * LIMIT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program of Python, or another command, until it ends by itself."""
    words = [sys.executable, *command] if command[0].endswith(".py") else list(command)
    process = subprocess.Popen(
        words,
        cwd=PROGRAMS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill_group(process)
        output, errors = process.communicate()
        raise AssertionError(f"{words} did not end:\n{output}{errors}") from None
    finally:
        kill_group(process)
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def result(*command: str, seconds: float = 2 * LIMIT, **environment: str) -> Any:
    """Runs a program as `run` does, and returns the JSON that it prints last."""
    done = run(*command, seconds=seconds, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().split("\n")[-1])


def browser() -> str | None:
    """Returns the path of a Chromium: `$CHROMIUM`, or one that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    has_driver = (INTEROP / "node_modules" / "playwright-core").is_dir()
    return found if has_driver else None


def javascript(script: str, port: int, *arguments: str, seconds: float = 2 * LIMIT) -> Any:
    """Runs a script of `tests/js` with the port of a server, and returns the JSON that it prints last."""
    return result(
        *("node", str(HERE / "js" / script), str(port), *arguments),
        seconds=seconds,
        NODE_PATH=str(INTEROP / "node_modules"),
    )


@contextlib.contextmanager
def javascript_process(
    script: str, port: int, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """Runs a script of `tests/js` beside the test, until the block ends."""
    process = subprocess.Popen(
        ["node", str(HERE / "js" / script), str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NODE_PATH": str(INTEROP / "node_modules")},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill_group(process)


def read_line(process: subprocess.Popen[str], seconds: float = 2 * LIMIT) -> str:
    """Returns the next line of a process. One that does not write it in time is ended."""
    assert process.stdout is not None
    late = threading.Timer(seconds, kill_group, [process])
    late.start()
    try:
        line = process.stdout.readline()
    finally:
        late.cancel()
    if not line.startswith(("{", "[", "UP")):
        line += process.stdout.read() if process.poll() is not None else ""
        raise AssertionError(f"{process.args} wrote:\n{line}")
    return line.strip()
