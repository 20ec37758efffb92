"""The examples of frameworks, each under its usual hosts, with the published JavaScript client."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support import browser, javascript, program

BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).parent.parent / "examples"
DJANGO = EXAMPLES / "django_project"
DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}

UVICORN = [str(BIN / "uvicorn"), "--port", "{port}", "--app-dir"]
OWN = [sys.executable, "-m", "kokanee", "serve", "--port", "{port}", "--app-dir"]
GUNICORN = [str(BIN / "gunicorn"), "--threads", "8", "-b", "127.0.0.1:{port}", "--chdir"]

#: For each example: how it is started, the path of its page, the transports that its host offers.
ALL = ["polling", "websocket", "polling,websocket"]
HOSTS = {
    "demo": ([str(EXAMPLES / "demo.py")], "/", ALL),
    "flask-gunicorn": ([*GUNICORN, str(EXAMPLES), "flask_app:app"], "/", ALL),
    "flask-run": (
        [str(BIN / "flask"), "--app", str(EXAMPLES / "flask_app"), "run", "--port", "{port}"],
        "/",
        ALL,
    ),
    "fastapi": ([*UVICORN, str(EXAMPLES), "fastapi_app:app"], "/", ALL),
    "starlette": ([*UVICORN, str(EXAMPLES), "starlette_app:app"], "/chat/", ALL),
    "quart": (
        [str(BIN / "hypercorn"), "-b", "127.0.0.1:{port}", str(EXAMPLES / "quart_app:app")],
        "/",
        ALL,
    ),
    "django-runserver": (
        [str(DJANGO / "manage.py"), "runserver", "--noreload", "{port}"],
        "/",
        ALL,
    ),
    "django-gunicorn": ([*GUNICORN, str(DJANGO), "project.wsgi"], "/", ALL),
    "django-uvicorn": ([*UVICORN, str(DJANGO), "project.asgi:application"], "/", ALL),
    "flask-own": ([*OWN, str(EXAMPLES), "flask_app:app"], "/", ALL),
    "fastapi-own": ([*OWN, str(EXAMPLES), "fastapi_app:app"], "/", ALL),
    "starlette-own": ([*OWN, str(EXAMPLES), "starlette_app:app"], "/chat/", ALL),
    "quart-own": ([*OWN, str(EXAMPLES), "quart_app:app"], "/", ALL),
    "django-own-wsgi": ([*OWN, str(DJANGO), "project.wsgi:application"], "/", ALL),
    "django-own-asgi": ([*OWN, str(DJANGO), "project.asgi:application"], "/", ALL),
}


def get(port: int, path: str) -> tuple[str, bytes]:
    """Returns type and content of a page."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
        return response.headers["Content-Type"], response.read()


@pytest.fixture
def database(tmp_path: Path) -> dict[str, str]:
    """Makes the database of the Django project."""
    environment = {"DATABASE": str(tmp_path / "db.sqlite3")}
    subprocess.run(
        [sys.executable, str(DJANGO / "manage.py"), "migrate", "-v", "0"],
        env=environment,
        check=True,
        timeout=60,
    )
    return environment


@pytest.mark.parametrize("name", HOSTS)
def test_the_page_and_its_events_work(name: str, request: pytest.FixtureRequest) -> None:
    command, path, transports = HOSTS[name]
    environment = request.getfixturevalue("database") if "django" in name else {}
    with program(*command, **environment) as server:
        kind, page = get(server.port, path)
        assert kind.startswith("text/html") and b"Kokanee" in page
        _, script = get(server.port, path + "socket.io.min.js")
        assert b"Socket.IO v4" in script
        for transport in transports:
            seen = javascript("echo.mjs", server.port, transport, "http", f"{path}socket.io/")
            last = transport.rsplit(",", 1)[-1]
            assert seen == {"transport": last, "ack": DATA, "back": [DATA]}


@pytest.mark.skipif(browser() is None, reason="needs Chromium, and npm's packages in tests/interop")
@pytest.mark.parametrize("name", HOSTS)
def test_the_page_works_in_a_browser(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    command, path, _ = HOSTS[name]
    environment = request.getfixturevalue("database") if "django" in name else {}
    with program(*command, **environment) as server:
        for width in ("390", "1280") if name == "demo" else ("1280",):
            profile = str(tmp_path / width)
            seen = javascript("page.mjs", server.port, path, str(browser()), profile, width, seconds=60)
            assert seen == {"shown": [["hällo <b>🐟</b>"]] * 2, "wider": 0, "problems": []}


@pytest.mark.parametrize("name", ["flask-gunicorn", "fastapi", "quart", "flask-own", "fastapi-own"])
def test_a_route_emits(name: str) -> None:
    command, _, _ = HOSTS[name]
    with program(*command) as server:
        url = f"http://127.0.0.1:{server.port}/announce/tea"
        seen = javascript("listen.mjs", server.port, "back", url)
        assert seen == ["tea"]


def test_the_lifespan_of_fastapi_runs() -> None:
    with program(*HOSTS["fastapi"][0]) as server:
        javascript("echo.mjs", server.port, "websocket")
        assert json.loads(get(server.port, "/count")[1]) == {"messages": 1}
