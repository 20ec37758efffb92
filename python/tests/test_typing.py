"""The package is typed: a type checker in strict mode accepts it, and the stub of the engine says what the engine has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PYTHON = Path(__file__).parent.parent


def check(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, timeout=180
    )


def test_a_type_checker_accepts_the_package() -> None:
    done = check("mypy", "--strict", "kokanee", cwd=PYTHON)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stub_says_what_the_engine_has(tmp_path: Path) -> None:
    done = check("mypy.stubtest", "kokanee._engine", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_type_checker_finds_a_mistake_in_a_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import kokanee\n\nsio = kokanee.Server()\nsio.enter_room(1, 'room')\nsio.emit('event', 1, to='room')\n"
    )
    done = check("mypy", "--strict", "program.py", cwd=tmp_path)
    assert 'Argument 1 to "enter_room"' in done.stdout and "Found 1 error" in done.stdout


EXAMPLES = PYTHON / "examples"
#: Django comes without types.
DJANGO = ("--ignore-missing-imports", "--allow-subclassing-any", "--exclude", "migrations/")


def test_a_type_checker_accepts_the_examples() -> None:
    names = sorted(str(path) for path in EXAMPLES.glob("*.py"))
    assert len(names) >= 5
    done = check("mypy", "--strict", *names, cwd=PYTHON)
    assert done.returncode == 0, done.stdout + done.stderr
    done = check("mypy", "--strict", *DJANGO, ".", cwd=EXAMPLES / "django_project")
    assert done.returncode == 0, done.stdout + done.stderr


def test_decorators_keep_the_types_of_handlers(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        """
import kokanee

sio = kokanee.AsyncServer()


@sio.event
async def first(sid: str, number: int) -> int:
    return number


@sio.event(namespace="/chat")
async def second(sid: str) -> None: ...


@sio.on("third", namespace="*")
def third(namespace: str, sid: str) -> None: ...


sio.on("fourth", third)
reveal_type(first)
reveal_type(second)
reveal_type(third)
"""
    )
    done = check("mypy", "--strict", "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "def (sid: str, number: int) -> typing.Coroutine[Any, Any, int]" in done.stdout.replace("builtins.", "")
    assert "def (namespace: str, sid: str)" in done.stdout.replace("builtins.", "")
