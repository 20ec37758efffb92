"""The distribution `kokanee-socketio`: the two names without a change of the program, and never beside the other package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import kokanee
import pytest
from support import HERE

#: The folder that has the package.

PROGRAM = """
import socketio, socketio.server, engineio, engineio.payload
from socketio.exceptions import ConnectionRefusedError
import kokanee, kokanee.engineio
assert socketio is kokanee and engineio is kokanee.engineio
assert socketio.server is kokanee.server
print(socketio.Server(async_mode="threading").eio.async_mode)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the distribution, and unpacks it where no other package is."""
    source = tmp_path_factory.mktemp("compat") / "compat"
    shutil.copytree(HERE.parent / "compat", source)
    wheels = source.parent / "wheels"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", "--wheel-dir", str(wheels), str(source)),
        ],
        check=True,
        timeout=120,
    )
    folder = source.parent / "site"
    (wheel,) = wheels.iterdir()
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the package kokanee and nothing else."""
    folder = tmp_path_factory.mktemp("ours")
    (folder / "kokanee").symlink_to(Path(kokanee.__file__).parent)
    return folder


def run(*folders: Path) -> subprocess.CompletedProcess[str]:
    start = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]!r}\n"
    # Without site-packages, so without the other package, unless a folder has it.
    return subprocess.run(
        [sys.executable, "-S", "-c", start + PROGRAM], capture_output=True, text=True, timeout=60
    )


def test_the_names_are_kokanees(installed: Path, ours: Path) -> None:
    done = run(installed, ours)
    assert (done.stdout, done.returncode) == ("threading\n", 0), done.stderr


def test_it_refuses_to_be_beside_the_other_package(
    installed: Path, ours: Path, tmp_path: Path
) -> None:
    metadata = tmp_path / "python_socketio-5.18.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: python-socketio\nVersion: 5.18.1\n"
    )
    done = run(installed, ours, tmp_path)
    assert done.returncode == 1
    assert "kokanee-socketio and python-socketio are both installed" in done.stderr
    assert "pip uninstall" in done.stderr
