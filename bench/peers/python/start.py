"""Starts a Python server of the comparison: `start.py LIBRARY HOST`. The process becomes the host.

`PORT` is the port to listen on, 0 for any. When the host listens, one line is printed that ends with the port; if it cannot be
started here, one that begins with `unavailable`.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent

GUNICORN = [str(BIN / "gunicorn"), "--bind=127.0.0.1:{port}", "--log-level=error"]
UVICORN = [
    *(str(BIN / "uvicorn"), "--port={port}", "--log-level=error"),
    *("--loop=uvloop", "--http=httptools"),
]
GRANIAN = [str(BIN / "granian"), "--port={port}", "--log-level=error", "--loop=uvloop"]
OWN = [sys.executable, "-m", "kokanee", "serve", "--port={port}"]

#: The command of each host, and variables of the program's environment.
HOSTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "werkzeug": ([sys.executable, "hosts.py", "werkzeug", "{port}"], {}),
    "eventlet": ([sys.executable, "hosts.py", "eventlet", "{port}"], {"MODE": "eventlet"}),
    "gevent": ([sys.executable, "hosts.py", "gevent", "{port}"], {"MODE": "gevent"}),
    "gunicorn-sync": ([*GUNICORN, "--worker-class=sync", "sync_app:app"], {}),
    "gunicorn-gthread": (
        [*GUNICORN, "--worker-class=gthread", "--threads=100", "sync_app:app"],
        {},
    ),
    "uvicorn": ([*UVICORN, "--ws=websockets-sansio", "async_app:app"], {}),
    "uvicorn-floor": ([*UVICORN, "--ws=websockets-sansio", "floor_app:app"], {}),
    "uvicorn-taken": (
        [*UVICORN, "--ws=websockets-sansio", "async_app:app"],
        {"TAKEOVER": "1"},
    ),
    "uvicorn-websockets": ([*UVICORN, "--ws=websockets", "async_app:app"], {}),
    "uvicorn-wsproto": ([*UVICORN, "--ws=wsproto", "async_app:app"], {}),
    "granian": ([*GRANIAN, "--interface=asgi", "async_app:app"], {}),
    "granian-page": ([*GRANIAN, "--interface=wsgi", "sync_app:page"], {}),
    "own-def": ([*OWN, "sync_app:app"], {}),
    "own-page": ([*OWN, "sync_app:page"], {}),
    "own-async": ([*OWN, "async_app:app"], {}),
}


def main(library: str, host: str) -> None:
    """Becomes the host."""
    command, environment = HOSTS[host]
    if "serve" in command and importlib.util.find_spec("kokanee._serve") is None:
        print("unavailable: this package has no host of its own", flush=True)
        return
    port = int(os.environ.get("PORT", "0")) or free_port()
    if os.fork() == 0:
        # A child of its own child, as the host would have to wait for its own.
        if os.fork() == 0:
            say_when_ready(port)
        os._exit(0)
    os.wait()
    os.chdir(HERE)
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    os.environ.update(environment, LIBRARY=library, PYTHONPATH=path)
    command = [word.replace("{port}", str(port)) for word in command]
    # The line with the port is the only one.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(command[0], command)


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def say_when_ready(port: int, seconds: float = 30) -> None:
    """Prints the port when something listens there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            print(f"listening on 127.0.0.1:{port}", flush=True)
            return
    print("unavailable: the host does not listen", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
