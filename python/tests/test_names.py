"""The listing that this project began with, unchanged, and the ways to have `import socketio` give this package."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support import PROGRAMS, free_port, javascript, program

LISTING = (PROGRAMS / "origin.py").read_text()

#: How the listing starts: what is put before it, what its import is, and the command that runs it.
STARTS = {
    "import kokanee as socketio": ("", "import eventlet, kokanee as socketio", []),
    "install_as_socketio": (
        "import kokanee; kokanee.install_as_socketio()\n",
        "import eventlet, socketio",
        [],
    ),
    "python -m kokanee run": ("", "import eventlet, socketio", ["-m", "kokanee", "run"]),
}


@pytest.mark.parametrize("start", STARTS)
def test_the_listing_serves_the_published_javascript_client(start: str, tmp_path: Path) -> None:
    before, imports, command = STARTS[start]
    port = free_port()
    text = LISTING.replace("import eventlet, socketio", imports).replace("5000", str(port))
    (tmp_path / "program.py").write_text(before + text)
    path = str(tmp_path / "program.py")
    with program(sys.executable, *command, path, port=port) as server:
        assert javascript("message.mjs", port) == {"error": None, "answers": []}
        server.wait_for("connect ")
        server.wait_for("message  {'text': 'hällo'}")
        server.wait_for("disconnect ")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
            assert response.headers["Content-Type"] == "text/html"
            assert b"Hello" in response.read()


def run(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments, "-c", text]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_submodules_are_the_same_modules_under_both_names() -> None:
    done = run(
        """
import kokanee
kokanee.install_as_socketio()
kokanee.install_as_socketio()
import socketio, socketio.server, engineio, engineio.payload
from socketio.exceptions import ConnectionRefusedError
from engineio.async_drivers import gevent
import kokanee.server, kokanee.engineio.payload
assert socketio is kokanee
assert socketio.server is kokanee.server
assert socketio.server.__spec__.name == "kokanee.server", socketio.server.__spec__
assert socketio.exceptions.ConnectionRefusedError is ConnectionRefusedError
assert engineio.payload.Payload is kokanee.engineio.payload.Payload
engineio.payload.Payload.max_decode_packets = 500
for name in ("redis_manager", "pubsub_manager", "zmq_manager", "asgi", "packet"):
    assert getattr(socketio, name).__name__ == "kokanee." + name
try:
    import socketio.socketio_manage
except ImportError:
    print("fine")
"""
    )
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


def test_installing_after_the_other_package_is_refused() -> None:
    done = run("import socketio, kokanee; kokanee.install_as_socketio()")
    assert "'socketio' was imported from" in done.stderr
    assert "before that" in done.stderr


def test_run_gives_a_program_its_arguments_and_folder(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("WORD = 'helper'\n")
    (tmp_path / "program.py").write_text(
        "import sys, helper, socketio\n"
        "print(__name__, sys.argv[1:], helper.WORD, socketio.__name__)\n"
        "sys.exit(3)\n"
    )
    for words in (["program.py"], ["-m", "program"]):
        done = subprocess.run(
            [sys.executable, "-m", "kokanee", "run", *words, "a", "--b"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "__main__ ['a', '--b'] helper kokanee\n", done.stderr
        assert done.returncode == 3


def test_run_without_a_program_says_how_to_use_it() -> None:
    for words in ([], ["run"], ["walk"]):
        done = subprocess.run(
            [sys.executable, "-m", "kokanee", *words], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2
        assert "run program.py" in done.stderr


def test_modules_are_attributes_of_the_packages_as_they_are_of_the_published_ones() -> None:
    program = """
import sys, types
if sys.argv[1] == "kokanee":
    import kokanee; kokanee.install_as_socketio()
import socketio, engineio
engineio.payload.Payload.max_decode_packets = 500
socketio.exceptions.ConnectionRefusedError, socketio.packet.Packet.json
for package in (socketio, engineio):
    for name in sys.argv[2:] or vars(package):
        if isinstance(getattr(package, name, None), types.ModuleType):
            print(package.__name__.replace("kokanee.", "").replace("kokanee", "socketio"), name)
"""

    def modules(*arguments: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return set(done.stdout.splitlines())

    published = modules("socketio")
    # The clients are not there yet.
    absent = {name for name in published if "client" in name}
    absent |= {f"engineio {name}" for name in ("base_server", "base_socket")}
    expected = published - absent
    assert expected <= modules("kokanee", *(name.split()[1] for name in expected))
    assert len(expected) > 25
