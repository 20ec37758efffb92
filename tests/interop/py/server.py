"""Starts and stops the server under test, as js/server.mjs does.

It is `kokanee serve`: the binary that KOKANEE names, else the newer of target/debug and target/release. With
REFERENCE=node it is js/reference-server.mjs, the same demo on the original Node server.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

INTEROP = Path(__file__).resolve().parent.parent
START_LIMIT = 10.0
STOP_LIMIT = 5.0

IS_REFERENCE = os.environ.get("REFERENCE") == "node"


def command() -> list[str]:
    """The program and its first arguments."""
    if IS_REFERENCE:
        return ["node", str(INTEROP / "js" / "reference-server.mjs")]
    if "KOKANEE" in os.environ:
        return [os.environ["KOKANEE"]]
    target = INTEROP.parent.parent / "target"
    built = [path for profile in ("debug", "release") if (path := target / profile / "kokanee").exists()]
    if not built:
        raise RuntimeError("no server to test: build kokanee-cli, or set KOKANEE to the binary, or REFERENCE=node")
    return [str(max(built, key=lambda path: path.stat().st_mtime))]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server that listens when the constructor returns, and ends with `stop` or the `with` block."""

    def __init__(self, *args: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [*command(), "serve", "--port", str(self.port), "--quiet", *args], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server does not answer on port {self.port}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def suspend(self) -> None:
        """Lets the process stand still; `stop` ends it all the same."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Ends the process without a chance to say goodbye."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ends the process and waits for its end."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
