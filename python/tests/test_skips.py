"""What is skipped: with `--complete` a test that lacks what it needs fails, so that none is lost without a word."""

from __future__ import annotations

import pathlib
import shutil
import sys

import pytest
from support import HERE, python_path, run

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.full
def test_that_takes_long():
    pass

def test_that_this_system_cannot_run():
    pytest.skip("cannot run here: it is not Monday")

def test_without_a_server():
    pytest.skip("the server is not built")

@pytest.mark.skipif(True, reason="no browser")
def test_without_a_browser():
    pass
"""


@pytest.mark.parametrize(
    ("options", "counts", "code"),
    [((), "1 passed, 5 skipped", 0), (("--complete",), "1 failed, 1 passed, 2 skipped, 2 errors", 1)],
)
def test_nothing_is_skipped_for_want_of_something_if_all_must_run(
    options: tuple[str, ...], counts: str, code: int, tmp_path: pathlib.Path
) -> None:
    shutil.copy(HERE / "conftest.py", tmp_path)
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_package')\n")
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:kokanee", "--continue-on-collection-errors", *options]
    done = run(sys.executable, "-m", "pytest", *arguments, str(tmp_path), PYTHONPATH=python_path(HERE))
    assert counts in done.stdout, done.stdout + done.stderr
    assert done.returncode == code
    for name in ("the server is not built", "no browser", "no_such_package"):
        assert (f"skipped in spite of --complete: {name}" in done.stdout.replace("could not import '", "")) == bool(options)
