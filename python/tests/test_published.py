"""The suites of python-socketio, python-engineio and Flask-SocketIO, from their source distributions, against this package.

`published.toml` says which of their files run, and why a test is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support import HERE, free_port

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUITES: dict[str, dict[str, Any]] = tomllib.loads((HERE / "published.toml").read_text())
#: Where source distributions are kept between runs.
CACHE = HERE / ".published"


def source_of(name: str, version: str) -> Path:
    """Returns the source distribution of a package, from the package index if it is not here yet."""
    pattern = f"{name.replace('-', '_')}-{version}.tar.gz"
    if not (CACHE / pattern).exists():
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--no-binary", ":all:"),
                *("--dest", str(CACHE), f"{name}=={version}"),
            ],
            check=True,
            timeout=300,
        )
    return CACHE / pattern


def use_free_port(folder: Path) -> None:
    """Puts a free port in the place of the one that the suite's servers listen on."""
    port = str(free_port())
    for path in folder.rglob("*.py"):
        text = path.read_text()
        if "8900" in text:
            path.write_text(re.sub(r"\b8900\b", port, text))


@pytest.mark.parametrize("name", SUITES)
def test_published_suite_passes(name: str, tmp_path: Path) -> None:
    suite = SUITES[name]
    with tarfile.open(source_of(suite.get("package", name), suite["version"])) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    if "source" not in suite:
        # What is tested is what the names give, not the package's own source.
        shutil.rmtree(folder / "src")
    for path, text in suite.get("missing_files", {}).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    use_free_port(folder)
    shutil.copy(HERE / "published_conftest.py", folder / "conftest.py")
    known = {*suite["files"], *suite.get("not_run", {})}
    found = {str(path.relative_to(folder)) for path in folder.rglob("test_*.py")}
    assert {path for path in found if not path.startswith("src/")} == known
    left_out = [test for group in suite.get("left_out", []) for test in group["tests"]]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"),
            *suite["files"],
            *(f"--deselect={test}" for test in left_out),
        ],
        cwd=folder,
        env={**os.environ, "STANDS_IN": name},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    # Each test that is left out exists.
    deselected = re.search(r"(\d+) deselected", done.stdout)
    assert int(deselected[1] if deselected else 0) == len(left_out), done.stdout[-500:]
