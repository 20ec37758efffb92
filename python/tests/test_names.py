"""The listing that this project began with, unchanged, and the ways to have `import socketio` give this package."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from raw import websocket
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


def test_run_is_as_if_python_ran_the_program(tmp_path: Path) -> None:
    text = """
import atexit, multiprocessing, os, pathlib, pickle, subprocess, sys, threading, time
import socketio
class Thing: pass
def late():
    time.sleep(0.2)
    print("late", type(pickle.loads(pickle.dumps(Thing()))) is Thing)
def child():
    import engineio, socketio
    print("spawned", socketio.__name__, engineio.__name__, flush=True)
if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent
    print(folder == pathlib.Path.cwd(), os.path.isabs(__file__), sys.argv[0], __package__, __spec__, socketio.__name__, flush=True)
    again = "import socketio, engineio; from socketio import exceptions; print('started', socketio.__name__, engineio.__name__)"
    subprocess.run([sys.executable, "-c", again], check=True)
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
    atexit.register(late)
    threading.Thread(target=late).start()
"""
    (tmp_path / "program.py").write_text(text)
    command = [sys.executable, "-m", "kokanee", "run", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "True True program.py None None kokanee",
        "started kokanee kokanee.engineio",
        "spawned kokanee kokanee.engineio",
        "late True",
        "late True",
    ], done.stderr


def test_another_python_that_a_program_starts_keeps_its_packages(tmp_path: Path) -> None:
    (tmp_path / "socketio").mkdir()
    (tmp_path / "socketio" / "__init__.py").write_text("word = 'its own'\n")
    # One without any package.
    again = f"import sys; sys.path.append({str(tmp_path)!r}); import socketio; print(socketio.word)"
    (tmp_path / "program.py").write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {again!r}])\n")
    command = [sys.executable, "-m", "kokanee", "run", str(tmp_path / "program.py")]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60)
    assert done.stdout == "its own\n", done.stderr


@pytest.mark.parametrize("how", ["uvicorn, workers", "uvicorn, reload", "hypercorn, workers"])
def test_workers_and_reloaders_of_a_host_have_this_package(how: str, tmp_path: Path) -> None:
    port = free_port()
    option = "workers=2" if "workers" in how else "reload=True"
    path = tmp_path / "program.py"
    path.write_text(
        "import socketio\n"
        "sio = socketio.AsyncServer(async_mode='asgi')\n"
        "app = socketio.ASGIApp(sio)\n"
        "@sio.event\n"
        "async def which(sid):\n"
        "    return socketio.__name__\n"
        "if __name__ == '__main__':\n"
        "    import uvicorn\n"
        f"    uvicorn.run('program:app', port={port}, {option})\n"
    )
    words = [str(path)] if "uvicorn" in how else ["-m", "hypercorn", "-w", "2", "-b", f"127.0.0.1:{port}", "program:app"]
    with program(sys.executable, "-m", "kokanee", "run", *words, port=port, PYTHONPATH=str(tmp_path)):
        client = websocket(port)
        client.send('421["which"]')
        assert client.recv() == '431["kokanee"]'
        client.close()


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
