"""The package is typed: a type checker in strict mode accepts it, and the stub of the engine says what the engine has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command", [["mypy", "--strict", "kokanee"], ["mypy.stubtest", "kokanee._engine"]]
)
def test_a_type_checker_accepts_the_package(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=PYTHON, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_with_a_mistake_is_told(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import kokanee\n\nsio = kokanee.Server()\nsio.enter_room(1, 'room')\nsio.emit('event', 1, to='room')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)],
        cwd=PYTHON,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert 'Argument 1 to "enter_room"' in done.stdout and "Found 1 error" in done.stdout
