"""A site of Django under a host, and those who visit it: with a browser's cookies and a published client."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import socketio
from support import LIMIT, PROGRAMS, Program, program, python_path

# Its threads outlive the tests, and complain that nothing more comes.
logging.getLogger("engineio.client").setLevel(logging.CRITICAL)

SITE = PROGRAMS / "django_site"
BIN = Path(sys.executable).parent

OWN_HOST = [sys.executable, "-m", "kokanee", "serve", "--port={port}"]
#: The command of each host: some have a `Server`, the others an `AsyncServer`.
HOSTS: dict[str, list[str]] = {
    "runserver": [str(SITE / "manage.py"), "runserver", "--noreload", "{port}"],
    "gunicorn": [str(BIN / "gunicorn"), "--threads", "8", "-b", "127.0.0.1:{port}", "site_wsgi:application"],
    "uvicorn": [str(BIN / "uvicorn"), "--port={port}", "site_asgi:application"],
    "own-wsgi": [*OWN_HOST, "kokanee.django.wsgi:application"],
    # A project need not have modules for it.
    "own-asgi": [*OWN_HOST, "kokanee.django.asgi:application"],
}
#: Hosts of single tests.
OTHER_HOSTS: dict[str, list[str]] = {
    "gevent": [str(BIN / "gunicorn"), "-k", "gevent", "-b", "127.0.0.1:{port}", "site_wsgi:application"],
    "gunicorn-workers": [*HOSTS["gunicorn"], "--workers=2"],
    "uvicorn-workers": [*HOSTS["uvicorn"], "--workers=2"],
}
#: Those that run with `--full` only, as another one is of the same kind.
LIKE_OTHERS = ("own-wsgi",)


def environment(folder: Path, **options: Any) -> dict[str, str]:
    """Returns what the programs of a site have in common: its database, and its options."""
    return {
        "DATABASE": str(folder / "db.sqlite3"),
        "TEST_DATABASE": str(folder / "test.sqlite3"),
        # The project's name for its other processes.
        "SECRET_KEY": folder.name + uuid.uuid4().hex,
        "OPTIONS": json.dumps(options),
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PYTHONPATH": python_path(SITE),
    }


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the site."""
    command = [sys.executable, str(SITE / "manage.py"), *arguments]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=2 * LIMIT, cwd=SITE
    )


@contextlib.contextmanager
def site(host: str, variables: dict[str, str], port: int | None = None) -> Iterator[Program]:
    """Runs the site under a host."""
    if not Path(variables["DATABASE"]).exists():
        done = manage("migrate", "-v", "0", **variables)
        assert done.returncode == 0, done.stderr
    with program(*{**HOSTS, **OTHER_HOSTS}[host], port=port, **variables) as running:
        yield running


def open_databases(running: Program, variables: dict[str, str]) -> int:
    """Returns how often the processes of a host have the database open."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(process.name)) == running.process.pid:
                found = [os.readlink(each) for each in (process / "fd").iterdir()]
                count += sum(each.startswith(variables["DATABASE"]) for each in found)
    return count


class Visitor:
    """A browser: it has cookies, fetches pages, and opens connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self._clients: list[Client] = []

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    @property
    def cookie(self) -> str:
        """The header."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def get(self, path: str) -> str:
        """Fetches a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        connection.request("GET", path, headers={"Cookie": self.cookie} if self.cookies else {})
        response = connection.getresponse()
        text = response.read().decode()
        for header in response.headers.get_all("Set-Cookie") or ():
            name, _, value = header.split(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        assert response.status == 200, text
        return text

    def ask_as(self, host: str) -> str:
        """Asks to join under another name of the host, and returns the packet that answers."""
        path = "/socket.io/?EIO=4&transport=polling"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)

        def request(method: str, body: str | None = None) -> str:
            connection.request(method, path, body, headers={"Host": host})
            return connection.getresponse().read().decode()

        path += f"&sid={json.loads(request('GET')[1:])['sid']}"
        assert request("POST", "40") == "ok"
        answer = request("GET")
        connection.close()
        return answer

    def connect(
        self, namespace: str = "/", auth: Any = None, transport: str = "websocket"
    ) -> Client:
        """Opens a connection."""
        client = Client(self, namespace)
        self._clients.append(client)
        client.connect(auth, transport)
        return client


class Refused(Exception):
    """Says with which words a client was refused."""


class Client:
    """A client of the published package, and what it has received."""

    def __init__(self, visitor: Visitor, namespace: str) -> None:
        self.namespace = namespace
        self._visitor = visitor
        self._socket = socketio.Client(reconnection=False)
        self._arrived = threading.Condition()
        self.received: list[tuple[Any, ...]] = []
        self._socket.on("*", self._receive, namespace=namespace)
        self._socket.on("question", lambda text: f"{text} yes", namespace=namespace)
        self._socket.on("disconnect", lambda *_: self._receive("disconnect"), namespace=namespace)

    def connect(self, auth: Any, transport: str) -> None:
        headers = {"Cookie": self._visitor.cookie} if self._visitor.cookies else {}
        refused: list[Any] = []
        self._socket.on("connect_error", refused.append, namespace=self.namespace)
        try:
            self._socket.connect(
                f"http://127.0.0.1:{self._visitor.port}", headers, auth=auth, namespaces=[self.namespace],
                transports=[transport], wait_timeout=LIMIT,
            )  # fmt: skip
        except socketio.exceptions.ConnectionError as error:
            raise Refused(refused[0]["message"]) from error

    def _receive(self, event: str, *args: Any) -> None:
        with self._arrived:
            self.received.append((event, *args))
            self._arrived.notify_all()

    def has_received(self, event: str, seconds: float) -> bool:
        """Returns whether an event has come, or comes within so many seconds."""
        with self._arrived:
            return self._arrived.wait_for(lambda: any(name == event for name, *_ in self.received), seconds)

    def wait_for(self, event: str) -> tuple[Any, ...]:
        """Waits for an event, and returns its arguments."""
        assert self.has_received(event, LIMIT), self.received
        return next(tuple(args) for name, *args in self.received if name == event)

    @property
    def sid(self) -> str:
        """The name of the client."""
        return str(self._socket.get_sid(self.namespace))

    def call(self, event: str, *args: Any) -> Any:
        """Emits an event, and returns the answer."""
        return self._socket.call(event, args or None, namespace=self.namespace, timeout=LIMIT)

    def emit(self, event: str, *args: Any) -> None:
        """Emits an event."""
        self._socket.emit(event, args or None, namespace=self.namespace)

    def close(self) -> None:
        """Closes the connection. This client's long-polling would wait for the next ping after its farewell."""
        if self._socket.eio.current_transport == "polling":
            self._socket.eio.disconnect(abort=True)
        else:
            self._socket.disconnect()
