"""The WSGI hosts that the tests know: how each is started, and the mode of the server on it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from support import Program, program

BIN = Path(sys.executable).parent


def gunicorn(worker: str, *options: str) -> list[str]:
    """Returns the command of Gunicorn with a kind of worker."""
    return [
        str(BIN / "gunicorn"),
        "--bind=127.0.0.1:{port}",
        f"--worker-class={worker}",
        "--log-level=warning",
        *options,
        "wsgi_app:app",
    ]


def uwsgi(*options: str) -> list[str]:
    """Returns the command of uWSGI."""
    return [
        str(BIN / "uwsgi"),
        "--http-socket=127.0.0.1:{port}",
        "--master",
        "--die-on-term",
        "--need-app",
        "--enable-threads",
        f"--virtualenv={sys.prefix}",
        "--module=wsgi_app:app",
        *options,
    ]


HOSTS: dict[str, tuple[list[str], str]] = {
    "werkzeug": (["host.py", "werkzeug"], "threading"),
    "werkzeug-one-thread": (["host.py", "werkzeug-one-thread"], "threading"),
    "gunicorn-sync": (gunicorn("sync"), "threading"),
    "gunicorn-sync-preload": (gunicorn("sync", "--preload"), "threading"),
    "gunicorn-gthread": (gunicorn("gthread", "--threads=2"), "threading"),
    "gunicorn-gthread-preload": (gunicorn("gthread", "--threads=2", "--preload"), "threading"),
    "gunicorn-gevent": (gunicorn("gevent"), "gevent"),
    "gunicorn-gevent-preload": (gunicorn("gevent", "--preload"), "gevent"),
    "gunicorn-gevent-pywsgi": (gunicorn("gevent_pywsgi"), "gevent"),
    "gunicorn-geventwebsocket": (
        gunicorn("geventwebsocket.gunicorn.workers.GeventWebSocketWorker"),
        "gevent",
    ),
    "eventlet": (["host.py", "eventlet"], "eventlet"),
    "eventlet-patched": (["host.py", "eventlet-patched"], "eventlet"),
    "gevent": (["host.py", "gevent"], "gevent"),
    "gevent-unpatched": (["host.py", "gevent-unpatched"], "gevent"),
    "gevent-websocket": (["host.py", "gevent-websocket"], "gevent"),
    "waitress": (["host.py", "waitress"], "threading"),
    "cheroot": (["host.py", "cheroot"], "threading"),
    "wsgiref": (["host.py", "wsgiref"], "threading"),
    "uwsgi-threads": (uwsgi("--threads=2"), "threading"),
    "uwsgi-gevent": (uwsgi("--gevent=50"), "gevent_uwsgi"),
}

if not (BIN / "uwsgi").exists():
    HOSTS = {name: host for name, host in HOSTS.items() if not name.startswith("uwsgi")}


#: Those that are like another one, as far as we can see: some of their cases run with `--full` only.
LIKE_OTHERS = {
    "werkzeug-one-thread",
    "gunicorn-sync-preload",
    "gunicorn-gthread-preload",
    "gunicorn-gevent-preload",
    "gunicorn-geventwebsocket",
    "gevent-unpatched",
}


@contextlib.contextmanager
def host(
    name: str, module: str = "wsgi_app", port: int | None = None, **environment: str
) -> Iterator[Program]:
    """Runs the `app` of a program on a host."""
    command, mode = HOSTS[name]
    command = [word.replace("wsgi_app:app", f"{module}:app") for word in command]
    environment = {"MODE": mode, "PROGRAM": module, **environment}
    with program(*command, port=port, **environment) as running:
        yield running
