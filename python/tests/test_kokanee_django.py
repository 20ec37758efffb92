"""`kokanee.django` under its hosts: handlers of applications, users, sessions, models, and events from everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django_site import HOSTS, LIKE_OTHERS, SITE, Refused, Visitor, environment, manage, open_databases, site
from support import Program, grouped, program, until

pytest.importorskip("django")


@pytest.fixture(scope="module", params=grouped(HOSTS, LIKE_OTHERS))
def host(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def server(host: str, variables: dict[str, str]) -> Iterator[Program]:
    with site(host, variables) as running:
        yield running


@pytest.fixture
def ada(server: Program) -> Iterator[Visitor]:
    with Visitor(server.port) as visitor:
        visitor.get("/login/ada")
        yield visitor


@pytest.fixture
def stranger(server: Program) -> Iterator[Visitor]:
    with Visitor(server.port) as visitor:
        yield visitor


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_events_go_both_ways(stranger: Visitor, transport: str) -> None:
    client = stranger.connect(transport=transport)
    values = ({"text": "hällo", "bytes": b"\x00\xff"}, 2.5)
    assert client.call("echo", *values) == values
    assert client.call("unknown", 1) == {"event": "unknown", "args": [1]}
    assert client.call("ask") == "ready? yes"
    assert client.call("ask async") == "ready? yes"


def test_the_user_of_the_session_is_on_the_socket(ada: Visitor, stranger: Visitor) -> None:
    client, other = ada.connect(), stranger.connect()
    assert client.call("whoami") == client.call("whoami async") == client.call("unmarked") == "ada"
    assert other.call("whoami") == other.call("whoami async") == ""
    # Each event is of now.
    ada.get("/logout")
    assert client.call("whoami") == client.call("whoami async") == ""


def test_a_coroutine_that_does_not_wait_for_the_user_is_told(ada: Visitor) -> None:
    client = ada.connect()
    for name in ("user", "session"):
        assert client.call("too early", name) == (
            f"SynchronousOnlyOperation: socket.{name} in a coroutine: use `await socket.a{name}()` first"
        )


def test_a_coroutine_that_would_stop_its_event_loop_is_told(stranger: Visitor) -> None:
    assert stranger.connect().call("ask too early") == (
        "SynchronousOnlyOperation: socket.call in a coroutine: use `await socket.acall()`"
    )


def test_a_page_disconnects_a_client(ada: Visitor, stranger: Visitor) -> None:
    one, two = ada.connect(), stranger.connect()
    ada.get(f"/disconnect/{one.sid}")
    one.wait_for("disconnect")
    assert two.wait_for("left") == ({"data": None, "user": "ada"},)


def test_pages_and_handlers_share_the_session(ada: Visitor) -> None:
    client = ada.connect()
    for event, word in (("remember", "one"), ("remember async", "two")):
        client.call(event, word)
        assert ada.get("/remembered") == word
        assert client.call("recall") == word
    ada.get("/remember/three")
    assert client.call("recall") == "three"


def test_a_model_that_is_saved_appears_when_it_is_committed(ada: Visitor, stranger: Visitor) -> None:
    writer, reader = ada.connect(), stranger.connect()
    before = reader.call("count")
    writer.call("note", "from a function")
    writer.call("note async", "from a coroutine")
    until(lambda: len([name for name, *_ in reader.received if name == "noted"]) == 2)
    ada.get("/fail/never")
    ada.get("/add/from-a-view")
    until(lambda: len([name for name, *_ in reader.received if name == "noted"]) == 3)
    notes = [args for name, *args in reader.received if name == "noted"]
    assert [(note["author"], note["text"]) for (note,) in notes] == [
        ("ada", "from a function"), ("ada", "from a coroutine"), ("view", "from-a-view")
    ]  # fmt: skip
    # A date is sent as JsonResponse does.
    assert notes[0][0]["made"].endswith("Z")
    names = [name for name, *_ in reader.received]
    assert names.index("adding") < len(names) - 1 and reader.wait_for("adding") == ("from-a-view",)
    assert reader.call("count") == before + 3


def test_a_client_can_be_refused(stranger: Visitor) -> None:
    with pytest.raises(Refused, match="not today"):
        stranger.connect(auth={"refuse": True})
    assert stranger.ask_as("evil.example") == '44{"message":"this host is not in ALLOWED_HOSTS"}'


def test_a_namespace_asks_for_a_user(ada: Visitor, stranger: Visitor) -> None:
    with pytest.raises(Refused, match="rejected"):
        stranger.connect("/private")
    client = ada.connect("/private")
    assert client.call("secret") == "ada"
    assert client.wait_for("revealed") == ("/private",)


def test_methods_of_a_class_are_handlers(ada: Visitor, stranger: Visitor) -> None:
    one, other = ada.connect("/members", transport="polling"), ada.connect("/members")
    before = one.call("count")[2]
    assert one.call("say", "tea", b"2") == ["tea"]
    assert other.wait_for("said") == ("tea", b"2")
    assert other.call("count") == (1, "ada", before + 1)
    assert one.call("closed") == "closed"
    with pytest.raises(Refused, match="log in"):
        stranger.connect("/members")
    other.close()
    assert one.wait_for("left") == ("ada",)


def test_rooms_skip_and_what_is_kept_of_a_client(ada: Visitor, stranger: Visitor) -> None:
    one, two = ada.connect(auth={"place": 1}), stranger.connect(auth={"place": 2})
    assert one.call("rooms", "a", "b") == ["a", "b", "everybody"]
    one.call("shout", "hello")
    assert two.wait_for("shouted") == ("hello",)
    one.emit("leave")
    one.wait_for("disconnect")
    assert two.wait_for("left") == ({"data": {"place": 1}, "user": "ada"},)
    assert "shouted" not in [name for name, *_ in one.received]


def test_connections_to_the_database_end_with_their_handlers(
    ada: Visitor, server: Program, variables: dict[str, str]
) -> None:
    clients = [ada.connect() for _ in range(3)]
    for event in ("note", "note async", "whoami", "whoami async", "remember async"):
        for client in clients:
            for _ in range(5):
                client.emit(event, *(["word"] if "whoami" not in event else []))
    for client in clients:
        # Functions run beside the event loop.
        assert client.call("thread") == {"main": False, "open": False}
    until(lambda: open_databases(server, variables) == 0)


def test_a_handler_that_waits_holds_up_nobody(stranger: Visitor) -> None:
    one, two = stranger.connect(), stranger.connect()
    for _ in range(10):
        one.emit("block")
        one.emit("block async")
    assert two.call("echo", 1) == 1
    # All of them wait for this.
    two.emit("unblock")
    until(lambda: len([name for name, *_ in one.received if name == "unblocked"]) == 20)


def test_a_command_reaches_the_clients_of_the_host(stranger: Visitor, variables: dict[str, str]) -> None:
    client = stranger.connect()
    done = manage("announce", "lunch", **variables)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert client.wait_for("announced") == ("lunch",)


@pytest.mark.parametrize("host", ["gunicorn-workers", pytest.param("uvicorn-workers", marks=pytest.mark.full)])
def test_many_workers_are_one_project(host: str, tmp_path: Path) -> None:
    variables = environment(tmp_path)
    with site(host, variables) as server, Visitor(server.port) as visitor:
        until(lambda: server.output.count("Booting worker") == 2 or server.output.count("startup complete") == 2)
        visitor.get("/login/ada")
        # Each request of these may reach either worker.
        clients = [visitor.connect(transport="polling") for _ in range(6)]
        assert [client.call("whoami") for client in clients] == ["ada"] * 6
        clients[0].call("shout", "hello")
        for client in clients[1:]:
            assert client.wait_for("shouted") == ("hello",)
        assert manage("announce", "lunch", **variables).stderr == ""
        visitor.get("/add/tea")
        for client in clients:
            assert client.wait_for("announced") == ("lunch",)
            assert client.wait_for("adding") == ("tea",)


def test_a_command_that_reaches_nobody_says_so(tmp_path: Path) -> None:
    alone = environment(tmp_path)
    done = manage("announce", "lunch", **alone)
    assert done.returncode == 0
    assert "emit('announced') reaches nobody: no process of this project serves clients" in done.stderr
    grouped = {**environment(tmp_path), "KOKANEE_WORKER_GROUP": tmp_path.name}
    assert "reaches nobody" in manage("announce", "lunch", **grouped).stderr
    done = manage("announce", "lunch", **environment(tmp_path, workers=False))
    assert done.returncode != 0
    assert "NotServing: emit('announced') reaches nobody: this process serves no clients" in done.stderr


@pytest.mark.parametrize(
    "interface", [(), pytest.param(("--asgi",), marks=pytest.mark.full)], ids=["wsgi", "asgi"]
)
def test_runserver_reloads_and_serves_static_files(interface: tuple[str, ...], tmp_path: Path) -> None:
    variables = environment(tmp_path)
    assert manage("migrate", "-v", "0", **variables).returncode == 0
    (tmp_path / "words.py").write_text("from kokanee.django import sockets\n\nsockets.on('word', lambda socket: 'one')\n")
    # The project need not name applications for hosts.
    (tmp_path / "other_settings.py").write_text("from site_settings import *\n\nINSTALLED_APPS += ['reloads']\n")
    (tmp_path / "reloads").mkdir()
    (tmp_path / "reloads" / "__init__.py").touch()
    (tmp_path / "reloads" / "sockets.py").write_text("import words\n")
    variables["PYTHONPATH"] = f"{tmp_path}:{variables['PYTHONPATH']}"
    variables["DJANGO_SETTINGS_MODULE"] = "other_settings"
    command = [str(SITE / "manage.py"), "runserver", *interface, "{port}"]
    with program(*command, **variables) as server, Visitor(server.port) as visitor:
        assert "teal" in visitor.get("/static/notes/site.css")
        client = visitor.connect()
        assert client.call("word") == "one"
        server.wait_for("Watching for file changes")
        for _ in range(6):
            # Django does not notice what changes before it has looked at the files for the first time.
            (tmp_path / "words.py").write_text("from kokanee.django import sockets\n\nsockets.on('word', lambda socket: 'two!')\n")
            if client.has_received("disconnect", 5):
                break
        client.wait_for("disconnect")
        server.wait_for("Quit the server", 2)
        visitor.get("/login/ada")
        client = visitor.connect()
        assert client.call("word") == "two!"
        assert client.call("whoami") == client.call("whoami async") == "ada"

