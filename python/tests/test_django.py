"""Django 5 and 6, under WSGI and ASGI: the page, users, sessions and models in handlers, and `runserver`, also that of daphne."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import CANNOT, HERE, javascript, program, python_path

import kokanee

# Minutes of starting and stopping processes: `cargo xtask python --full`.
pytestmark = pytest.mark.full

PROJECT = HERE.parent / "examples" / "django_project"
#: Django 6 needs Python 3.12, so it has an environment of its own, beside that of the tests.
CLIENT = "python-socketio[client]==5.18.1"
DJANGO_6 = ["Django==6.1.3", "gunicorn==27.0.1", "uvicorn==0.54.0", "websockets==17.4", "daphne==4.2.3", CLIENT]
DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}
SETTINGS = """
from project.settings import *

INSTALLED_APPS = ["daphne", *INSTALLED_APPS]
ASGI_APPLICATION = "project.asgi.application"
"""

HOSTS = {
    "gunicorn": ["-m", "gunicorn", "--threads", "8", "-b", "127.0.0.1:{port}", "project.wsgi"],
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "project.asgi:application"],
    "daphne": ["-m", "daphne", "-p", "{port}", "project.asgi:application"],
    "runserver": [str(PROJECT / "manage.py"), "runserver", "--noreload", "{port}"],
    "runserver that reloads": [str(PROJECT / "manage.py"), "runserver", "{port}"],
    "daphne's runserver": [str(PROJECT / "manage.py"), "runserver", "--noreload", "{port}"],
}


def newer_python() -> str | None:
    """Returns a Python that Django 6 takes."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python3.{minor}") for minor in (14, 13, 12)]
    candidates = [sys.executable, *filter(None, found), *map(str, sorted(versions.glob("3.1[2-9]*/bin/python")))]
    check = "import sys, venv; sys.exit(sys.version_info < (3, 12))"
    for candidate in candidates:
        if subprocess.run([candidate, "-c", check], capture_output=True, timeout=30).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="module", params=["5", "6"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Returns a Python that has Django of a version, and this package."""
    if request.param == "5":
        yield sys.executable
        return
    newer = newer_python()
    if newer is None:
        pytest.skip(f"{CANNOT}Django 6 needs Python 3.12 or newer")
    folder = tmp_path_factory.mktemp("django6")
    subprocess.run([newer, "-m", "venv", str(folder)], check=True, timeout=120)
    own = str(folder / "bin" / "python")
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *DJANGO_6], check=True, timeout=300)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "kokanee").symlink_to(Path(kokanee.__file__).parent)
    check = "from kokanee import _engine; _engine.loads('[{\"text\": \"hello\"}]')"
    if subprocess.run([own, "-c", check], capture_output=True, timeout=30).returncode != 0:
        pytest.skip("the engine was built for one version of Python: cargo xtask python builds it for all")
    yield own


def request(port: int, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


@pytest.mark.parametrize("host", HOSTS)
def test_users_sessions_and_models_in_handlers(python: str, host: str, tmp_path: Path) -> None:
    (tmp_path / "with_daphne.py").write_text(SETTINGS)
    environment = {
        "DATABASE": str(tmp_path / "db.sqlite3"),
        "PYTHONPATH": python_path(PROJECT, tmp_path),
        "DJANGO_SETTINGS_MODULE": "with_daphne" if host.startswith("daphne's") else "project.settings",
    }
    migrate = [python, str(PROJECT / "manage.py"), "migrate", "-v", "0"]
    subprocess.run(migrate, env={**os.environ, **environment}, check=True, timeout=60)
    with program(python, *HOSTS[host], **environment) as server:
        page = request(server.port, "/")
        assert page.status == 200 and b"Kokanee" in page.body  # type: ignore[attr-defined]
        cookie = (request(server.port, "/login/ada").headers["Set-Cookie"] or "").split(";")[0]
        assert cookie.startswith("sessionid=")
        for transport in ("polling", "websocket", "polling,websocket"):
            seen = javascript("echo.mjs", server.port, transport, "http", "/socket.io/", cookie)
            assert seen == {"transport": transport.rsplit(",")[-1], "ack": DATA, "back": [DATA]}
        javascript("echo.mjs", server.port, "websocket", "http", "/socket.io/")
        messages = json.loads(request(server.port, "/messages").body)["messages"]  # type: ignore[attr-defined]
        assert [message["author"] for message in messages] == ["ada"] * 3 + ["somebody"]
