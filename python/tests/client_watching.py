"""A client in a process of its own, which a test watches and tells what to do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from support import LIMIT, PROGRAMS, Program


class Watched:
    """A client in a process of its own, as `programs/client_watch.py`."""

    def __init__(self, running: Program) -> None:
        self.program = running

    @property
    def events(self) -> list[Any]:
        """Returns what has happened to it until now, without attempts that failed."""
        events = [json.loads(line) for line in self.program.lines if line.startswith("[")]
        return [event for event in events if event != ["connect_error"]]

    def wait_for(self, name: str, count: int = 1) -> list[Any]:
        """Waits until something has happened so often, and returns the last of it."""
        line = self.program.wait_for(f'["{name}"', count)
        return list(json.loads(line))

    def tell(self, line: str) -> None:
        """Lets it run a line of Python."""
        assert self.program.process.stdin is not None
        self.program.process.stdin.write(line + "\n")
        self.program.process.stdin.flush()

    def ask(self, line: str, name: str = "answer") -> Any:
        """Lets it run a line that says something by this name, and returns what."""
        count = sum(event[0] == name for event in self.events)
        self.tell(line)
        return self.wait_for(name, count + 1)[1:]

    def ended(self) -> int:
        return self.program.process.wait(LIMIT)


@contextlib.contextmanager
def watched(port: int, package: str, kind: str, **environment: str) -> Iterator[Watched]:
    """Runs a client until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "client_watch.py", f"http://127.0.0.1:{port}?scenario=watched"],
        cwd=PROGRAMS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PACKAGE": package, "KIND": kind, **environment},
        start_new_session=True,
    )
    running = Program(process, port)
    try:
        yield Watched(running)
    finally:
        running.kill()
