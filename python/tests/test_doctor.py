"""`kokanee.doctor()` and `python -m kokanee doctor`."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import kokanee
from kokanee._doctor import without_effect

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*arguments: str, cwd: Path = EXAMPLES) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_it_says_what_is_installed_and_what_would_be_chosen() -> None:
    done = run("-m", "kokanee", "doctor")
    assert done.returncode == 0, done.stderr
    assert f"kokanee          {kokanee.__version__}" in done.stdout
    assert "uvicorn    0.54.0 (ASGI)" in done.stdout
    assert f"kokanee    {kokanee.__version__} (WSGI and ASGI): kokanee.run(app)" in done.stdout
    assert "threading  neither eventlet nor gevent is imported" in done.stdout
    # Another package is installed in this environment.
    assert "import socketio  python-socketio 5.18.1, not Kokanee" in done.stdout


def test_it_warns_of_green_threads_that_have_not_patched() -> None:
    done = run("-c", "import eventlet, kokanee; print(kokanee.doctor())")
    assert "eventlet is imported, but has not patched" in done.stdout
    done = run(
        "-c", "import gevent.monkey as m; m.patch_all(); import kokanee; print(kokanee.doctor())"
    )
    assert "gevent is imported and has patched" in done.stdout


def test_it_says_whose_the_names_are() -> None:
    done = run("-c", "import kokanee; kokanee.install_as_socketio(); print(kokanee.doctor())")
    assert "import socketio  Kokanee\n" in done.stdout


def test_it_describes_the_server_of_a_program() -> None:
    done = run("-m", "kokanee", "doctor", "fastapi_app:sio", cwd=EXAMPLES)
    assert done.returncode == 0, done.stderr
    assert "AsyncServer\n  async_mode  asgi" in done.stdout
    done = run("-m", "kokanee", "doctor", "fastapi_app:app", cwd=EXAMPLES)
    assert done.returncode == 2 and "is not a Server or AsyncServer" in done.stderr


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, []),
        ({"ping_interval": 5, "http_compression": False}, []),
        ({"monitor_clients": False, "ping_interval": (5, 3)}, ["monitor_clients", "ping_interval"]),
        ({"http_compression": False, "compression_threshold": 10}, ["compression_threshold"]),
        ({"transports": ["websocket", "carrier"]}, ["transports"]),
        ({"takeover": True, "poll_takeover": False}, ["takeover"]),
        ({"transports": "polling", "allow_upgrades": False}, ["allow_upgrades"]),
    ],
)
def test_options_without_effect_are_named(options: dict[str, object], expected: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = kokanee.Server(**options)
    assert list(without_effect(server)) == expected
    assert all(name in str(kokanee.doctor(server)) for name in expected)


def test_commands_that_are_wrong_say_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    for command, text in {
        "bogus": "kokanee: there is no command 'bogus'\nusage:",
        "doctor nothing": "kokanee: there is no module nothing here",
        "doctor nothing.below:sio": "kokanee: there is no module nothing here",
        "doctor broken:sio": "ModuleNotFoundError: No module named 'nothing_of_this_name'",
        "run nothing.py": "kokanee: there is no file nothing.py",
        "run -m nothing": "kokanee: there is no module nothing",
        "run -m nothing.below": "kokanee: there is no module nothing.below",
    }.items():
        done = run("-m", "kokanee", *command.split(), cwd=tmp_path)
        assert done.returncode != 0 and text in done.stderr, command


def test_help_and_version() -> None:
    assert run("-m", "kokanee", "--help").stdout.startswith("usage:")
    assert run("-m", "kokanee", "--version").stdout == f"kokanee {kokanee.__version__}\n"
