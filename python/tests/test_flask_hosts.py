"""The extension for Flask under its hosts: how it is run, reloaded, debugged and stopped, and the commands of `flask`."""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support import HERE, Program, grouped, javascript, make_certificate, program, python_path, run, until

flask = pytest.importorskip("flask")

from kokanee import _run
from kokanee.flask import SocketIO

BIN = Path(sys.executable).parent
DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}
GUNICORN = [str(BIN / "gunicorn"), "-b", "127.0.0.1:{port}", "--log-level=warning", "flask_app:app"]

#: The command for each host, and `$HOST` of the program.
HOSTS = {
    "own": (["flask_app.py"], "own"),
    "own-debug": (["flask_app.py", "debug"], "own"),
    "serve": ([sys.executable, "-m", "kokanee", "serve", "flask_app:app", "--port", "{port}"], "own"),
    "eventlet": (["flask_app.py"], "eventlet"),
    "gevent": (["flask_app.py"], "gevent"),
    "eventlet-debug": (["flask_app.py", "debug"], "eventlet"),
    "gevent-debug": (["flask_app.py", "debug"], "gevent"),
    "werkzeug": (["flask_app.py"], "werkzeug"),
    "waitress": (["flask_app.py"], "waitress"),
    "gunicorn": ([*GUNICORN, "--threads=4", "-w", "2"], "own"),
    "gunicorn-gevent": ([*GUNICORN, "-k", "gevent"], "gevent"),
    "uwsgi": (
        [
            *(str(BIN / "uwsgi"), "--http-socket=127.0.0.1:{port}", "--master", "--die-on-term", "--need-app"),
            *("--enable-threads", "--threads=2", f"--virtualenv={sys.prefix}", "--module=flask_app:app"),
        ],
        "own",
    ),
}
if not (BIN / "uwsgi").exists():
    del HOSTS["uwsgi"]


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Returns status and content of a page."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("name", grouped(HOSTS, seldom=["serve", "waitress", "gunicorn-gevent", "eventlet-debug", "gevent-debug"]))
def test_pages_and_events_work_and_stop_ends_the_host(name: str) -> None:
    command, host = HOSTS[name]
    with program(*command, HOST=host) as server:
        # The reloader starts it in a child.
        assert until(lambda: get(server.port, "/")) == (200, "a page ")
        for transports in ("websocket", "polling,websocket"):
            seen = javascript("echo.mjs", server.port, transports)
            assert seen == {"transport": "websocket", "ack": DATA, "back": [DATA]}
        assert get(server.port, "/stop") == (200, "stopping")
        assert server.process.wait(30) == 0
        if command == ["flask_app.py"]:
            server.wait_for("run has returned")


def client_of(server: Program) -> Any:
    from socketio import Client

    client = Client(reconnection_delay=0.1, reconnection_delay_max=0.2)
    client.connect(f"http://127.0.0.1:{server.port}", transports=["websocket"])
    return client


def test_a_client_answers_its_handler() -> None:
    with program("flask_app.py") as server:
        client = client_of(server)
        doubled: list[Any] = []
        client.on("question", lambda number: 2 * number)
        client.on("doubled", lambda *args: doubled.append(args))
        assert client.call("ask_back", 4) == 10
        assert client.call("ask_back_later", 6) == 12
        # The callback runs in a context of the same client.
        until(lambda: doubled == [(8, None)])
        client.disconnect()


@pytest.mark.parametrize("host", ["own", "gevent"])
def test_events_that_run_at_the_same_time_have_contexts_of_their_own(host: str) -> None:
    from socketio import Client

    with program("flask_app.py", HOST=host) as server:
        answers: list[Any] = []
        clients = [Client() for _ in range(2)]
        for name, client in enumerate(clients):
            client.connect(f"http://127.0.0.1:{server.port}/?name={name}", transports=["websocket"])
        for number in range(30):
            for client in clients:
                client.emit("slow", number, callback=answers.append)
        until(lambda: len(answers) == 60)
        expected = [[number, number, True, str(name)] for number in range(30) for name in range(2)]
        assert sorted(answers) == expected
        for client in clients:
            client.disconnect()


def test_a_handler_stops_the_host_and_clients_are_told() -> None:
    with program("flask_app.py") as server:
        client = client_of(server)
        assert client.call("later", 5) == 5
        client.emit("leave")
        assert server.process.wait(30) == 0
        until(lambda: not client.connected)
        client.disconnect()
        client.shutdown()


def test_requests_for_the_server_do_not_enter_python() -> None:
    app = flask.Flask("x")
    socketio = SocketIO(app, path="/own.path", async_mode="threading")
    assert _run.site_of(app) == (socketio.server, "/own.path/")
    app.wsgi_app = lambda environ, start_response: []  # type: ignore[method-assign]
    assert _run.site_of(app) is None


@pytest.mark.parametrize("name", ["socketio", "app"])
def test_the_doctor_knows_the_server_of_an_extension(name: str) -> None:
    done = run(sys.executable, "-m", "kokanee", "doctor", f"flask_app:{name}")
    assert done.returncode == 0 and "threading" in done.stdout, done.stdout + done.stderr


# While developing.


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Returns a copy of the program that can be changed."""
    path = tmp_path / "flask_app.py"
    path.write_text((HERE / "programs" / "flask_app.py").read_text())
    return path


def test_the_reloader_and_the_debugger_work_beside_websockets(copy: Path) -> None:
    with program(str(copy), "debug") as server:
        until(lambda: get(server.port, "/")[0] == 200)
        client = client_of(server)
        back: list[Any] = []
        client.on("back", back.append)
        assert client.call("my_message", "before") == "before"
        status, page = get(server.port, "/fail")
        assert status == 500 and "a fault of the page" in page and "EVALEX = true" in page
        assert client.call("my_message", "after a fault") == "after a fault"
        copy.write_text(copy.read_text().replace("a page", "a new page"))
        assert until(lambda: "new" in get(server.port, "/")[1])
        until(lambda: client.connected and client.namespaces)
        get(server.port, "/announce/after")
        until(lambda: "after" in back)
        client.disconnect()
        client.shutdown()
        assert get(server.port, "/stop")[0] == 200
        assert server.process.wait(30) == 0


# Origins.


@pytest.mark.parametrize(
    ("origins", "arguments", "rule"),
    [
        (None, [], "cors_allowed_origins is not set, so that only the server's own origin is accepted: http://127.0.0.1:{port}"),
        ("https://own.test", [], "it was compared with cors_allowed_origins, which the server's log shows"),
        ("https://own.test", ["debug"], "it was compared with cors_allowed_origins='https://own.test'"),
    ],
)
def test_a_page_of_another_origin_is_told_why(origins: str | None, arguments: list[str], rule: str) -> None:
    environment = {"ORIGINS": origins} if origins is not None else {}
    with program("flask_app.py", *arguments, **environment) as server:
        until(lambda: get(server.port, "/")[0] == 200)
        answer = get(server.port, "/socket.io/?EIO=4&transport=polling", Origin="http://page.test")
        text = rule.replace("{port}", str(server.port))
        assert answer == (400, f"\"Not an accepted origin. 'http://page.test': {text}.\"")
        line = server.wait_for("is not an accepted origin")
        assert "http://page.test is not" in line and repr(origins) in line


# Commands of `flask`.


@pytest.fixture
def path_with_commands(tmp_path: Path) -> str:
    """Returns a path for modules on which the package has the entry points that an installed one has."""
    text = (HERE.parent / "pyproject.toml").read_text()
    (table,) = re.findall(r'entry-points."(flask.commands)"\]\n(.*?)\n\n', text, re.S)
    folder = tmp_path / "kokanee-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: kokanee\nVersion: 0.1.0\n")
    (folder / "entry_points.txt").write_text(f"[{table[0]}]\n{table[1]}\n".replace('"', ""))
    return python_path(tmp_path)


FLASK = [str(BIN / "flask"), "--app", "flask_app"]


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["--debug", "run"], ["kokanee", "run", "--access-log"], ["kokanee", "run", "--workers=2"]],
    ids=" ".join,
)
def test_a_command_of_flask_starts_the_host(arguments: list[str], path_with_commands: str) -> None:
    with program(*FLASK, *arguments, "--port", "{port}", PYTHONPATH=path_with_commands) as server:
        until(lambda: get(server.port, "/")[0] == 200)
        seen = javascript("echo.mjs", server.port, "polling,websocket")
        assert seen == {"transport": "websocket", "ack": DATA, "back": [DATA]}
        server.wait_for("kokanee: ")
        if "--access-log" in arguments:
            server.wait_for('"GET / HTTP/1.1" 200')
        assert get(server.port, "/stop")[0] == 200
        assert server.process.wait(30) == 0


def test_the_command_of_flask_encrypts(path_with_commands: str, tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    options = ["run", "--cert", str(certificate), "--key", str(key), "--port", "{port}"]
    with program(*FLASK, *options, PYTHONPATH=path_with_commands) as server:
        seen = javascript("echo.mjs", server.port, "websocket", "https")
        assert seen == {"transport": "websocket", "ack": DATA, "back": [DATA]}


def test_an_application_without_the_extension_keeps_the_command_of_flask(path_with_commands: str, tmp_path: Path) -> None:
    (tmp_path / "plain_app.py").write_text("import flask\n\napp = flask.Flask('plain')\n")
    command = [str(BIN / "flask"), "--app", "plain_app", "run", "--port", "{port}"]
    with program(*command, PYTHONPATH=path_with_commands) as server:
        assert get(server.port, "/")[0] == 404
        server.wait_for("This is a development server")
