"""Programs under test, and the clients that talk to them: each in a process of its own, on a port of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

HERE = pathlib.Path(__file__).parent
PROGRAMS = HERE / "programs"
#: The published JavaScript clients are those of the project's other suites.
INTEROP = HERE.parent.parent / "tests" / "interop"


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Program:
    """A process whose output can be waited for."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.lines: list[str] = []
        self._incoming: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._incoming.put(line.rstrip("\n"))
        self._incoming.put(None)

    def wait_for(self, text: str, seconds: float = 20) -> str:
        """Waits for a line of output that contains a text, and returns it."""
        deadline = time.monotonic() + seconds
        for line in self.lines:
            if text in line:
                return line
        while True:
            try:
                line = self._incoming.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line with {text!r} in:\n" + "\n".join(self.lines))
            self.lines.append(line)
            if text in line:
                return line

    def stop(self, with_signal: int = signal.SIGTERM, seconds: float = 10) -> int:
        """Ends the process, and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(seconds)


@contextlib.contextmanager
def program(*arguments: str, port: int | None = None, **environment: str) -> Iterator[Program]:
    """Runs a program of Python, or another command, until the block ends; it listens on the port in `$PORT`."""
    port = port or free_port()
    arguments = tuple(word.replace("{port}", str(port)) for word in arguments)
    command = [sys.executable, *arguments] if arguments[0].endswith(".py") else list(arguments)
    process = subprocess.Popen(
        command,
        cwd=PROGRAMS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PORT": str(port), "PYTHONUNBUFFERED": "1", **environment},
    )
    running = Program(process, port)
    try:
        wait_for_port(port, process)
        yield running
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.stop()
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for_port(port: int, process: subprocess.Popen[str], seconds: float = 20) -> None:
    """Waits until something listens on a port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    output = process.stdout.read() if process.poll() is not None and process.stdout else ""
    raise AssertionError(f"nothing listens on port {port}: {output}")


def javascript(script: str, port: int, *arguments: str, seconds: float = 30) -> Any:
    """Runs a script of `tests/js` with the port of a server, and returns the JSON that it prints last."""
    done = subprocess.run(
        ["node", str(HERE / "js" / script), str(port), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "NODE_PATH": str(INTEROP / "node_modules")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().split("\n")[-1])


def browser() -> str | None:
    """Returns the path of a Chromium: `$CHROMIUM`, or one that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    has_driver = (INTEROP / "node_modules" / "playwright-core").is_dir()
    return found if has_driver else None


@contextlib.contextmanager
def javascript_process(
    script: str, port: int, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """Runs a script of `tests/js` beside the test, until the block ends."""
    process = subprocess.Popen(
        ["node", str(HERE / "js" / script), str(port), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NODE_PATH": str(INTEROP / "node_modules")},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
