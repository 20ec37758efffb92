"""The dashboard of the examples, in a browser: what is saved anywhere appears on all open pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import HERE, browser, grouped, javascript, program, python_path

pytest.importorskip("django")

PROJECT = HERE.parent / "examples" / "django_dashboard"
BIN = Path(sys.executable).parent
SAVE = "from orders.models import Order; Order.objects.create(customer='from another process', item='Rye with walnuts', price='5.80')"

HOSTS = {
    "wsgi": [str(PROJECT / "manage.py"), "runserver", "--noreload", "{port}"],
    "asgi": [str(PROJECT / "manage.py"), "runserver", "--noreload", "--asgi", "{port}"],
}


def environment(folder: Path) -> dict[str, str]:
    return {
        "DATABASE": str(folder / "db.sqlite3"),
        "DJANGO_SECRET_KEY": str(folder),
        "DJANGO_SETTINGS_MODULE": "bakery.settings",
        "PYTHONPATH": python_path(PROJECT),
    }


def manage(*arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("host", grouped(HOSTS, ["wsgi"]))
def test_open_pages_show_what_is_saved(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = browser()
    if found is None:
        pytest.skip("needs Chromium, and playwright-core in tests/interop")
    variables = environment(tmp_path)
    manage("demo", **variables)
    for name, value in variables.items():
        # For the process that the browser's script starts.
        monkeypatch.setenv(name, value)
    with program(*HOSTS[host]) as server:
        command = [sys.executable, str(PROJECT / "manage.py"), "shell", "-c", SAVE]
        seen = javascript("dashboard.mjs", server.port, found, os.environ.get("SCREENSHOTS", ""), *command)
    assert seen.pop("before") + 1 == seen.pop("after")
    assert seen == {"price": "14.70", "buttons": 0, "overflows": [False, False], "problems": []}


def test_its_own_tests(tmp_path: Path) -> None:
    assert "OK" in manage("test", **environment(tmp_path))
