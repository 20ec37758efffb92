"""The tests on the guide's page about testing: they are files of pytest, which run as there."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).parent.parent
PAGE = (PYTHON.parent / "docs/python-testing.md").read_text()
PROGRAMS = {name: block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) for name in re.findall(r"\A# (\w+)\.py\n", block)}


def test_all_programs_have_names() -> None:
    # One shows what the plug-ins of others need.
    assert len(PROGRAMS) == PAGE.count("```python\n") - 1
    assert len(PROGRAMS) >= 5


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    for name, text in PROGRAMS.items():
        (tmp_path / f"{name}.py").write_text(text)
    found = importlib.metadata.entry_points(group="pytest11", name="kokanee")
    plugin = [] if found else ["-p", "kokanee.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-W", "error", *plugin, str(tmp_path)]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    count = sum(len(re.findall(r"^(?:async )?def test_", text, re.M)) for text in PROGRAMS.values())
    if run.returncode != 0 or f"{count} passed" not in run.stdout:
        pytest.fail(run.stdout + run.stderr)


def test_the_page_names_what_there_is() -> None:
    from kokanee import testing

    for name in re.findall(r"`client\.(\w+)", PAGE):
        assert hasattr(testing.TestClient, name), name
        assert hasattr(testing.AsyncTestClient, name), name
    for name in re.findall(r"`clock\.(\w+)", PAGE):
        assert hasattr(testing.Clock, name), name
