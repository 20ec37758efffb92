"""`Client` and `AsyncClient` against servers of either package."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
from reversed_packets import Reversed
from support import LIMIT, PROGRAMS, Program, free_port, kill_group, make_certificate, program, result, run, until

import kokanee
from kokanee import exceptions

PACKAGES = [
    pytest.param(name, marks=pytest.mark.xdist_group(f"clients of {name}")) for name in ("kokanee", "socketio")
]


@pytest.fixture(scope="module", params=PACKAGES)
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    """Returns a server."""
    with program("serving_clients.py", PACKAGE=request.param) as running:
        yield running


def url_of(server: Program) -> str:
    """Returns the URL of a server."""
    return f"http://127.0.0.1:{server.port}"


@contextlib.contextmanager
def connected(url: str, *args: Any, **options: Any) -> Iterator[kokanee.Client]:
    """Gives a connected client to the block, and disconnects it."""
    sio = kokanee.Client(**options.pop("client", {}))
    sio.connect(url, *args, **options)
    try:
        yield sio
    finally:
        sio.disconnect()


def start_listing(server: Program, path: pathlib.Path, before: str, after: str) -> subprocess.Popen[str]:
    """Runs a listing of the origin in which something is written in another way."""
    script = (PROGRAMS / path.name).read_text()
    assert before in script
    path.write_text(script.replace(before, after))
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PACKAGE": "kokanee", "URL": url_of(server)},
    )


@pytest.mark.parametrize("listing", ["origin_client.py", "origin_async_client.py"])
def test_listing_of_the_origin(server: Program, listing: str, tmp_path: pathlib.Path) -> None:
    url = 'os.environ["URL"]'
    process = start_listing(server, tmp_path / listing, url, f"{url}, auth={{'welcome': 1}}")
    try:
        output, errors = process.communicate(timeout=LIMIT)
    finally:
        kill_group(process)
    assert output.splitlines() == [
        "connection established",
        "message received with  {'text': 'hello', 'bytes': b'\\x01\\x02'}",
        "disconnected from server",
    ], errors
    assert process.returncode == 0
    server.wait_for("response {'response': 'my response'}")


def test_a_program_of_python_socketio_runs_unchanged(server: Program, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        "import os, socketio, socketio.exceptions, socketio.client\n"
        "with socketio.SimpleClient() as sio:\n"
        "    sio.connect(os.environ['URL'])\n"
        "    print(sio.call('echo', 5), type(sio.client) is socketio.client.Client, socketio.__name__)\n"
    )
    done = run(sys.executable, "-m", "kokanee", "run", str(path), URL=url_of(server))
    assert done.stdout == "5 True kokanee\n", done.stderr


def test_the_programs_of_the_guide_run(server: Program, tmp_path: pathlib.Path) -> None:
    page = (PROGRAMS.parents[2] / "docs" / "python-client.md").read_text()
    programs = re.findall(r"```python\n(# \w+\.py\n.*?)```", page, re.S)
    assert len(programs) == 3
    for text in programs:
        path = tmp_path / "program.py"
        path.write_text(text.replace("http://localhost:5000", url_of(server)))
        done = run(str(path))
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("transports", [None, "polling", ["websocket"]])
def test_acknowledgements_both_ways(server: Program, transports: Any) -> None:
    with connected(url_of(server), transports=transports) as sio:
        assert sio.connected
        assert sio.transport() == ("polling" if transports == "polling" else "websocket")
        assert sio.get_sid() == sio.namespaces["/"] != sio.sid
        assert sio.call("echo") is None
        assert sio.call("echo", {"a": [1, None, "ä"]}) == {"a": [1, None, "ä"]}
        assert sio.call("echo", (1, b"\x00\xff")) == (1, b"\x00\xff")
        answers: queue.Queue[Any] = queue.Queue()
        sio.emit("echo", ("a", 2), callback=lambda *args: answers.put(args))
        assert answers.get(timeout=LIMIT) == ("a", 2)
        sio.on("question", lambda *args: args[::-1])
        sio.on("answered", lambda *args: answers.put(args))
        sio.emit("ask_me", (1, b"two", [3]))
        assert answers.get(timeout=LIMIT) == ([3], b"two", 1)
    assert not sio.connected
    assert sio.namespaces == {}


def test_acknowledgements_both_ways_for_asyncio(server: Program) -> None:
    async def main() -> None:
        sio = kokanee.AsyncClient()
        answers: asyncio.Queue[Any] = asyncio.Queue()

        @sio.event
        async def question(*args: Any) -> Any:
            await asyncio.sleep(0)
            return args[::-1]

        @sio.event
        def answered(*args: Any) -> None:
            answers.put_nowait(args)

        await sio.connect(url_of(server))
        assert sio.transport() == "websocket"
        assert await sio.call("echo", (1, b"\x00\xff")) == (1, b"\x00\xff")
        await sio.emit("echo", "x", callback=answers.put)
        assert await asyncio.wait_for(answers.get(), LIMIT) == "x"
        await sio.emit("ask_me", (1, b"two", [3]))
        assert await asyncio.wait_for(answers.get(), LIMIT) == ([3], b"two", 1)
        await sio.disconnect()
        await sio.wait()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_handlers_run_in_the_order_of_their_events(server: Program) -> None:
    numbers: list[int] = []
    with connected(url_of(server), client={"async_handlers": False}) as sio:
        sio.on("number", numbers.append)
        sio.emit("send_me", 2000)
        until(lambda: len(numbers) == 2000)
    assert numbers == list(range(2000))


def test_a_handler_that_waits_holds_up_no_other(server: Program) -> None:
    with connected(url_of(server)) as sio:
        go, answered = threading.Event(), threading.Event()
        sio.on("question", lambda *args: go.wait(LIMIT))
        sio.on("answered", lambda *args: answered.set())
        sio.emit("ask_me")
        assert sio.call("echo", 1) == 1
        sio.on("number", lambda number: go.set())
        sio.emit("send_me", 1)
        assert answered.wait(LIMIT)


def test_headers_query_and_auth_reach_the_server(server: Program) -> None:
    with connected(f"{url_of(server)}/ignored?room=7", headers={"X-Token": "secret"}, auth=lambda: {"name": "me"}):
        line = server.wait_for("connect {'name': 'me'}")
    assert "token=secret" in line
    assert "room=7" in line


def test_refusals_say_why(server: Program) -> None:
    sio = kokanee.Client()
    refusals: list[Any] = []
    sio.on("connect_error", refusals.append, namespace="/locked")
    with pytest.raises(exceptions.ConnectionError, match="One or more namespaces failed to connect: /locked") as error:
        sio.connect(url_of(server), namespaces=["/", "/locked"])
    assert error.value.reason == "refused"
    assert refusals == [{"message": "no entry", "data": {"door": 7}}] == [error.value.data]
    assert not sio.connected
    assert sio.failed_namespaces == ["/locked"]
    # The same client may try again.
    sio.connect(url_of(server), namespaces="/")
    sio.disconnect()


def test_a_refusal_that_was_not_waited_for_ends_the_connection(server: Program) -> None:
    refusals: queue.Queue[Any] = queue.Queue()
    sio = kokanee.Client()
    sio.on("connect_error", refusals.put, namespace="/locked")
    for _ in range(3):
        sio.connect(url_of(server), namespaces="/locked", wait=False)
        assert refusals.get(timeout=LIMIT) == {"message": "no entry", "data": {"door": 7}}
        sio.wait()
        until(lambda: not sio.connected)
        assert (sio.failed_namespaces, sio.namespaces, sio.transport()) == (["/locked"], {}, None)
    # One that is accepted keeps it.
    sio.connect(url_of(server), namespaces=["/", "/locked"], wait=False)
    assert refusals.get(timeout=LIMIT)["message"] == "no entry"
    until(lambda: sio.failed_namespaces)
    assert sio.connected and sio.call("echo", 1) == 1
    sio.disconnect()


@pytest.mark.asyncio
async def test_a_refusal_that_was_not_waited_for_ends_the_connection_of_asyncio(server: Program) -> None:
    refusals: asyncio.Queue[Any] = asyncio.Queue()
    sio = kokanee.AsyncClient()
    sio.on("connect_error", refusals.put, namespace="/locked")
    for _ in range(3):
        await sio.connect(url_of(server), namespaces="/locked", wait=False)
        assert await asyncio.wait_for(refusals.get(), LIMIT) == {"message": "no entry", "data": {"door": 7}}
        await asyncio.wait_for(sio.wait(), LIMIT)
        assert not sio.connected
        assert (sio.failed_namespaces, sio.namespaces, sio.transport()) == (["/locked"], {}, None)


def test_failures_say_why() -> None:
    sio = kokanee.Client()
    errors: list[Any] = []
    sio.on("connect_error", errors.append)
    with pytest.raises(exceptions.ConnectionError, match="does the server run") as error:
        sio.connect(f"http://127.0.0.1:{free_port()}")
    assert error.value.reason == "unreachable"
    assert errors == [str(error.value)]
    with pytest.raises(exceptions.ConnectionError, match="cannot find the address"):
        sio.connect("http://no.such.host.invalid")
    with pytest.raises(exceptions.BadNamespaceError, match="/ is not a connected namespace"):
        sio.emit("x")
    with pytest.raises(TypeError, match="did you mean 'reconnection_delay'"):
        kokanee.Client(reconection_delay=1)
    with pytest.raises(ValueError, match="No valid transports"):
        sio.connect("http://127.0.0.1:1", transports="carrier pigeon")


def test_join_and_leave_a_namespace_later(server: Program) -> None:
    ends: list[Any] = []
    with connected(url_of(server)) as sio:
        sio.on("disconnect", ends.append, namespace="/other")
        with pytest.raises(exceptions.BadNamespaceError):
            sio.emit("where", namespace="/other")
        sio.join("/other")
        assert sio.call("where", namespace="/other") == "/other"
        sio.leave("/other")
        assert ends == ["client disconnect"]
        assert set(sio.namespaces) == {"/"}
        for _ in range(2):
            with pytest.raises(exceptions.ConnectionError, match="no entry"):
                sio.join("/locked")
        assert sio.failed_namespaces == ["/locked"]
        assert sio.call("echo", 1) == 1


def test_once_off_and_listeners(server: Program) -> None:
    seen: list[Any] = []
    with connected(url_of(server)) as sio:
        sio.once("number", lambda number: seen.append(("once", number)))
        sio.on_any(lambda event, *args: seen.append((event, *args)))
        sio.on_any_outgoing(lambda event, *args: seen.append(("out", event, *args)))
        sio.emit("send_me", 2)
        until(lambda: ("number", 1) in seen)
        assert seen == [("out", "send_me", 2), ("number", 0), ("once", 0), ("number", 1)]
        handler = sio.on("number")(seen.append)
        assert not sio.off("number", print)
        assert sio.off("number", handler)
        assert not sio.off("number")


def test_disconnect_by_the_server_ends_the_wait(server: Program) -> None:
    sio = kokanee.Client()
    ends: list[Any] = []
    sio.on("disconnect", lambda reason: ends.append((reason, reason.detail)))
    sio.on("__disconnect_final", lambda: ends.append("final"))
    sio.connect(url_of(server))
    sio.emit("kick")
    sio.wait()
    assert ends == [("server disconnect", "io server disconnect"), "final"]
    assert not sio.connected


def test_reconnection() -> None:
    port = free_port()
    events: queue.Queue[Any] = queue.Queue()
    tokens = iter(range(100))
    sio = kokanee.Client(reconnection_delay=0.05, reconnection_delay_max=0.2)
    sio.on("connect", lambda: events.put("connect"))
    sio.on("disconnect", lambda reason: events.put(str(reason)))
    sio.on_reconnect_attempt(lambda attempt: attempt == 1 and events.put("attempt"))
    sio.on_reconnect(lambda attempt: events.put("reconnect"))

    with program("serving_clients.py", port=port, PACKAGE="kokanee") as server:
        sio.connect(f"http://127.0.0.1:{port}", auth=lambda: {"token": next(tokens)})
        assert events.get(timeout=LIMIT) == "connect"
        server.kill()
    assert events.get(timeout=LIMIT) == "transport error"
    assert events.get(timeout=LIMIT) == "attempt"
    with program("serving_clients.py", port=port, PACKAGE="kokanee") as server:
        assert {events.get(timeout=LIMIT), events.get(timeout=LIMIT)} == {"connect", "reconnect"}
        assert sio.call("echo", 1) == 1
        assert "{'token': 0}" not in server.output
        sio.disconnect()
    assert events.get(timeout=LIMIT) == "client disconnect"


def test_giving_up_ends_the_wait() -> None:
    sio = kokanee.Client(reconnection_attempts=2, reconnection_delay=0.01)
    failed = threading.Event()
    errors: list[Any] = []
    sio.on_reconnect_failed(failed.set)
    sio.on_reconnect_error(errors.append)
    with program("serving_clients.py", PACKAGE="kokanee") as server:
        sio.connect(url_of(server))
        server.kill()
    sio.wait()
    assert failed.is_set()
    until(lambda: len(errors) == 2)
    # An attempt may meet the server as it ends.
    assert {error.reason for error in errors} <= {"unreachable", "interrupted"} and errors


def test_retry_waits_for_the_server() -> None:
    port = free_port()
    sio = kokanee.Client(reconnection_delay=0.05, reconnection_delay_max=0.1)
    connecting = threading.Thread(target=sio.connect, args=[f"http://127.0.0.1:{port}"], kwargs={"retry": True})
    connecting.start()
    with program("serving_clients.py", port=port, PACKAGE="kokanee"):
        connecting.join(LIMIT)
        assert sio.connected
        sio.disconnect()


def test_events_wait_while_the_client_is_offline() -> None:
    port = free_port()
    sio = kokanee.Client(reconnection_delay=0.05, reconnection_delay_max=0.1, buffer_offline=True)
    lost, answers = threading.Event(), queue.Queue()  # type: ignore[var-annotated]
    sio.on("disconnect", lambda reason: lost.set())
    with program("serving_clients.py", port=port, PACKAGE="kokanee") as server:
        sio.connect(f"http://127.0.0.1:{port}")
        server.kill()
    assert lost.wait(LIMIT)
    sio.emit("echo", "kept", callback=answers.put)
    with program("serving_clients.py", port=port, PACKAGE="kokanee"):
        assert answers.get(timeout=LIMIT) == "kept"
        sio.disconnect()


def test_class_based_namespaces(server: Program) -> None:
    calls: queue.Queue[Any] = queue.Queue()

    class Root(kokanee.ClientNamespace):
        def on_connect(self) -> None:
            self.emit("ask_me", 5)

        def on_question(self, number: int) -> int:
            return number + 1

        def on_answered(self, number: int) -> None:
            calls.put(number)

        def on_disconnect(self) -> None:
            calls.put("disconnected")

    sio = kokanee.Client()
    sio.register_namespace(Root("/"))
    with pytest.raises(ValueError, match="Not a valid namespace class for this client"):
        sio.register_namespace(kokanee.AsyncClientNamespace("/"))
    sio.connect(url_of(server))
    assert calls.get(timeout=LIMIT) == 6
    sio.disconnect()
    assert calls.get(timeout=LIMIT) == "disconnected"


def test_coroutine_functions_are_refused_where_nothing_awaits_them() -> None:
    async def handler(*args: Any) -> None: ...

    class Handler:
        async def __call__(self, *args: Any) -> None: ...

    class Root(kokanee.ClientNamespace):
        async def on_number(self, number: int) -> None: ...

    sio = kokanee.Client()
    registrations: list[Any] = [
        *(lambda each=each: sio.on("number", each) for each in (handler, functools.partial(handler, 1), Handler())),  # type: ignore[misc]
        lambda: sio.event(handler),
        lambda: sio.once("number", handler),
        lambda: sio.on_any(handler),
        lambda: sio.on_reconnect(handler),
        lambda: sio.emit("echo", 1, callback=handler),
        lambda: sio.send(1, callback=functools.partial(handler, 1)),
        lambda: sio.register_namespace(Root()),
    ]
    for register in registrations:
        with pytest.raises(TypeError, match="is a coroutine function, which a Client does not await: use AsyncClient"):
            register()
    assert not sio.handlers and not sio.namespace_handlers
    kokanee.AsyncClient().on("number", handler)
    # It is called within `emit`, of both kinds.
    with pytest.raises(TypeError, match="is a coroutine function, which emit does not await$"):
        kokanee.AsyncClient().on_any_outgoing(handler)


def test_simple_clients(server: Program) -> None:
    with kokanee.SimpleClient() as sio:
        assert sio.sid is None
        sio.connect(url_of(server))
        sio.emit("send_me", 3)
        assert [sio.receive(timeout=LIMIT) for _ in range(3)] == [["number", 0], ["number", 1], ["number", 2]]
        assert sio.call("echo", (1, 2)) == (1, 2)
        with pytest.raises(exceptions.TimeoutError):
            sio.receive(timeout=0.01)
        with pytest.raises(exceptions.TimeoutError):
            sio.call("silence", timeout=0.01)
        sio.emit("kick")
        with pytest.raises(exceptions.DisconnectedError):
            sio.receive(timeout=LIMIT)


def test_many_clients_share_their_threads(server: Program) -> None:
    before = threading.active_count()
    clients = [kokanee.Client() for _ in range(20)]
    for sio in clients:
        sio.connect(url_of(server), transports="websocket")
    assert threading.active_count() <= before + 4
    for sio in clients:
        assert sio.call("echo", 1) == 1
        sio.disconnect()
    # Others of this process may have ended meanwhile.
    until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("listing", ["origin_client.py", "origin_async_client.py"])
def test_interrupt_ends_the_wait_at_once(server: Program, listing: str, tmp_path: pathlib.Path) -> None:
    process = start_listing(server, tmp_path / listing, "wait()", "wait(*print('waiting', flush=True) or ())")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "connection established\n"
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LIMIT)
    finally:
        kill_group(process)
    assert output == "disconnected from server\n"
    assert "KeyboardInterrupt" in errors
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("mode", ["gevent", "eventlet"])
def test_greenlets_go_on(server: Program, mode: str) -> None:
    seen = result("green_client.py", MODE=mode, URL=url_of(server))
    assert seen == [
        ["echo within a handler", 1],
        ["answered", [1, 2]],
        ["others went on", True],
        ["timeout", True],
        ["disconnect", "server disconnect"],
        ["disconnect", "client disconnect"],
    ]


def test_a_fork_leaves_the_connection_to_the_parent(server: Program) -> None:
    done = run("forking_client.py", URL=url_of(server))
    assert (done.stdout.split(), done.stderr, done.returncode) == (["child", "parent"], "", 0)


EXITS = {
    "end of the program": "pass",
    "sys.exit in a handler": "sio.on('number', lambda n: sys.exit(3)); sio.emit('send_me', 1); sio.call('echo')",
    "while a handler runs": "sio.on('number', lambda n: time.sleep(60)); sio.emit('send_me', 1); time.sleep(0.2)",
    "while it reconnects": "sio._engine.reconnect()",
    "while a thread calls": "threading.Thread(target=sio.call, args=['silence'], daemon=True).start(); time.sleep(0.1)",
}


@pytest.mark.parametrize("what", EXITS)
def test_exit_is_clean(server: Program, what: str) -> None:
    script = (
        "import os, sys, threading, time, kokanee\nsio = kokanee.Client(); sio.connect(os.environ['URL'])\n" + EXITS[what]
    )
    done = run(sys.executable, "-c", script, URL=url_of(server))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_session_of_requests_is_read(server: Program) -> None:
    requests = pytest.importorskip("requests")
    session = requests.Session()
    session.headers["X-Token"] = "from the session"
    session.cookies.set("flavour", "sour")
    session.auth = ("me", "secret")
    with connected(url_of(server), client={"http_session": session}) as sio:
        assert sio.eio.http is session
        server.wait_for("token=from the session")
        headers = sio.call("headers")
    assert headers["HTTP_COOKIE"] == "flavour=sour"
    assert headers["HTTP_AUTHORIZATION"] == "Basic bWU6c2VjcmV0"
    assert headers["HTTP_USER_AGENT"].startswith("python-requests/")


def test_a_session_of_aiohttp_is_read(server: Program) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> Any:
        jar = aiohttp.CookieJar(unsafe=True)
        headers = {"X-Token": "of aiohttp"}
        async with aiohttp.ClientSession(headers=headers, cookies={"a": "1"}, cookie_jar=jar) as session:
            sio = kokanee.AsyncClient(http_session=session)
            await sio.connect(url_of(server), headers={"Cookie": "b=2"})
            answer = await sio.call("headers")
            await sio.disconnect()
            return answer

    headers = asyncio.run(main())
    assert headers["HTTP_X_TOKEN"] == "of aiohttp"
    assert headers["HTTP_COOKIE"] == "b=2; a=1"


def test_options_of_websockets_are_understood_or_refused(server: Program) -> None:
    options = {"header": {"X-Token": "extra"}, "cookie": "c=3", "timeout": 3, "sslopt": {"cert_reqs": 0}}
    with connected(url_of(server), client={"websocket_extra_options": options}) as sio:
        headers = sio.call("headers")
    assert (headers["HTTP_X_TOKEN"], headers["HTTP_COOKIE"]) == ("extra", "c=3")
    with pytest.raises(ValueError, match="Kokanee has no 'subprotocols'"):
        kokanee.Client(websocket_extra_options={"subprotocols": ["x"]})


def test_an_auth_may_be_any_value() -> None:
    # Servers that follow the protocol take objects alone; that of python-socketio takes anything.
    with program("serving_clients.py", PACKAGE="socketio") as server, connected(url_of(server), auth="a token"):
        server.wait_for("connect 'a token'")


def test_proxies_of_the_environment_are_used(server: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(exceptions.ConnectionError) as error:
        kokanee.Client().connect(url_of(server))
    assert error.value.reason == "unreachable"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with connected(url_of(server)):
        pass


def test_a_server_of_something_else_is_named() -> None:
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}")
    with program(*command) as server, pytest.raises(exceptions.ConnectionError) as error:
        kokanee.Client().connect(url_of(server))
    assert error.value.reason in ("unavailable", "not socket.io")
    assert "HTTP 404" in str(error.value) or "not a Socket.IO server" in str(error.value)


def test_a_server_that_never_answers_is_given_up(server: Program) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        sio = kokanee.Client(request_timeout=0.2)
        with pytest.raises(exceptions.ConnectionError, match="no connection within") as error:
            sio.connect(f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert error.value.reason == "timeout"


@pytest.mark.parametrize("package", ["kokanee", "socketio"])
def test_msgpack(package: str) -> None:
    with program("serving_clients.py", PACKAGE=package, OPTIONS='{"serializer": "msgpack"}') as server:
        with connected(url_of(server), client={"serializer": "msgpack"}) as sio:
            assert sio.call("echo", ({"b": b"\x00"}, [1.5, None])) == ({"b": b"\x00"}, [1.5, None])


def test_a_module_for_json_of_the_application(server: Program) -> None:
    class Sets:
        """Writes sets as lists."""

        @staticmethod
        def dumps(value: Any, **options: Any) -> str:
            return json.dumps(value, default=sorted, **options)

        loads = staticmethod(json.loads)

    class Packet(kokanee.packet.Packet):
        json = Sets

    with connected(url_of(server), client={"serializer": Packet}) as sio:
        assert sio.call("echo", ({2, 1}, b"\x01")) == ([1, 2], b"\x01")


def test_servers_of_an_older_revision() -> None:
    with program("serving_clients.py", PACKAGE="kokanee", OPTIONS='{"allow_eio3": true}') as server:
        with connected(url_of(server), client={"eio_version": 3}) as sio:
            assert sio.call("echo", (1, b"\x02")) == (1, b"\x02")
    with program("serving_clients.py", PACKAGE="socketio") as server:
        with pytest.raises(exceptions.ConnectionError, match="try revision 4") as error:
            kokanee.Client(eio_version=3).connect(url_of(server))
        assert error.value.reason == "wrong revision"


def test_certificates(tmp_path: pathlib.Path) -> None:
    key, certificate = make_certificate(tmp_path)
    # One that is its own authority, but not that of others.
    command = ["openssl", "req", "-x509", "-key", str(key), "-days", "2", "-out", str(certificate)]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, *names, "-addext", "basicConstraints=critical,CA:FALSE"], check=True, capture_output=True
    )
    with program("serving_clients.py", PACKAGE="kokanee", TLS=f"{certificate}:{key}") as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(exceptions.ConnectionError) as error:
            kokanee.Client().connect(url)
        assert error.value.reason == "tls"
        with connected(url, client={"ssl_verify": False}) as sio:
            assert sio.call("echo", 1) == 1
        session = types.SimpleNamespace(headers={}, verify=str(certificate))
        with connected(url, client={"http_session": session}) as sio:
            assert sio.transport() == "websocket"


def test_compression_is_offered(server: Program) -> None:
    with connected(url_of(server), transports="websocket", client={"compression": True}) as sio:
        assert "permessage-deflate" in sio.call("headers")["HTTP_SEC_WEBSOCKET_EXTENSIONS"]


def test_signatures_are_those_of_python_socketio() -> None:
    published = pytest.importorskip("socketio")
    for name in ("Client", "AsyncClient", "SimpleClient", "AsyncSimpleClient", "ClientNamespace", "AsyncClientNamespace"):
        ours, theirs = getattr(kokanee, name), getattr(published, name)
        for method in [each for each in dir(theirs) if not each.startswith("_")] + ["__init__"]:
            if not callable(getattr(theirs, method)) or isinstance(getattr(theirs, method), type):
                continue
            expected = inspect.signature(getattr(theirs, method)).parameters
            found = inspect.signature(getattr(ours, method)).parameters
            assert list(found)[: len(expected)] == list(expected), f"{name}.{method}"
            if method in ("event", "call"):
                continue
            for parameter in expected.values():
                assert found[parameter.name].default == parameter.default, f"{name}.{method}({parameter.name})"


# What was lost, or hung.


class Keeper:
    """Keeps the exceptions of handlers, as error reporters do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: list[Any] = []
        monkeypatch.setattr(threading, "excepthook", lambda args: self.kept.append(args.exc_value))


def test_a_handler_that_raises_does_not_hold_up_the_next_event(server: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(monkeypatch)
    got: list[int] = []
    with connected(url_of(server), client={"async_handlers": False, "reconnection": False}) as sio:

        @sio.event
        def number(value: int) -> None:
            got.append(value)
            if value == 1:
                raise ValueError("broken")

        sio.emit("send_me", 4)
        until(lambda: got == [0, 1, 2, 3])
        until(lambda: keeper.kept)


def test_a_call_ends_when_the_server_disconnects_the_client(server: Program) -> None:
    for _ in range(20):
        sio = kokanee.Client(reconnection=False)
        sio.connect(url_of(server))
        with pytest.raises(exceptions.SocketIOError):
            # The server disconnects the client, and does not answer.
            sio.call("kick", timeout=10 * LIMIT)
        sio.disconnect()


@pytest.mark.asyncio
async def test_a_call_of_asyncio_ends_when_the_server_disconnects_the_client(server: Program) -> None:
    for _ in range(20):
        sio = kokanee.AsyncClient(reconnection=False)
        await sio.connect(url_of(server))
        with pytest.raises(exceptions.SocketIOError):
            await asyncio.wait_for(sio.call("kick", timeout=10 * LIMIT), LIMIT)
        await sio.disconnect()


@pytest.mark.asyncio
async def test_a_client_that_leaves_does_not_end_one_that_is_about_to_connect(server: Program) -> None:
    first, second = kokanee.AsyncClient(), kokanee.AsyncClient()
    await first.connect(url_of(server))

    async def auth() -> dict[str, int]:
        await first.disconnect()
        return {"token": 1}

    await second.connect(url_of(server), auth=auth)
    assert await second.call("echo", 1) == 1
    await second.disconnect()


def test_joins_at_the_same_time_do_not_wait_for_each_other(server: Program) -> None:
    async def main() -> None:
        sio = kokanee.AsyncClient()
        await sio.connect(url_of(server))
        waits: list[float] = []
        wait = sio._wait_seconds
        sio._wait_seconds = lambda given: waits.append(1) or 10 * LIMIT  # type: ignore[method-assign]
        results = await asyncio.wait_for(
            asyncio.gather(sio.join("/other"), sio.join("/locked"), sio.join("/other"), return_exceptions=True), LIMIT
        )
        assert [type(each) for each in results] == [type(None), exceptions.ConnectionError, type(None)]
        assert waits and not sio._watches and not sio._answers
        sio._wait_seconds = wait  # type: ignore[method-assign]
        assert await sio.call("where", namespace="/other") == "/other"
        await sio.disconnect()

    asyncio.run(main())


def test_threads_that_join_at_the_same_time_do_not_wait_for_each_other(server: Program) -> None:
    with connected(url_of(server)) as sio:
        sio._wait_seconds = lambda given: 10 * LIMIT  # type: ignore[method-assign]
        results: dict[str, Any] = {}

        def join(namespace: str) -> None:
            try:
                sio.join(namespace)
                results[namespace] = None
            except exceptions.ConnectionError as error:
                results[namespace] = error.data["data"]

        threads = [threading.Thread(target=join, args=(name,)) for name in ("/other", "/locked")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert results == {"/other": None, "/locked": {"door": 7}}
        assert not sio._watches and not sio._answers


def test_a_handler_that_disconnects_ends_a_connect_that_tries_again() -> None:
    sio = kokanee.Client(reconnection_delay=0.01)

    @sio.event
    def connect_error(data: Any) -> None:
        threading.Thread(target=sio.disconnect).start()

    failures: list[Exception] = []

    def connect() -> None:
        try:
            sio.connect(f"http://127.0.0.1:{free_port()}", retry=True)
        except exceptions.ConnectionError as error:
            failures.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive() and len(failures) == 1


def test_a_server_that_disconnects_the_client_at_once_has_accepted_it(server: Program) -> None:
    for asks in (lambda sio: sio.emit("kick"), lambda sio: sio.leave("/")):
        sio = kokanee.Client(reconnection=False)
        gone = threading.Event()
        reasons: list[str] = []

        @sio.event
        def connect(sio: kokanee.Client = sio, asks: Any = asks, gone: threading.Event = gone) -> None:
            asks(sio)
            assert gone.wait(LIMIT)

        @sio.event
        def disconnect(reason: str, reasons: list[str] = reasons, gone: threading.Event = gone) -> None:
            reasons.append(reason)
            gone.set()

        sio.connect(url_of(server), transports="websocket")
        assert not sio.connected and len(reasons) == 1
        sio.wait()


@pytest.mark.asyncio
async def test_a_server_that_disconnects_the_client_of_asyncio_at_once_has_accepted_it(server: Program) -> None:
    sio = kokanee.AsyncClient(reconnection=False)
    gone = asyncio.Event()
    sio.on("disconnect", gone.set)

    @sio.event
    async def connect() -> None:
        await sio.emit("kick")
        await asyncio.wait_for(gone.wait(), LIMIT)

    await sio.connect(url_of(server), transports="websocket")
    assert gone.is_set() and not sio.connected
    await sio.wait()


def test_a_simple_client_that_is_disconnected_while_it_reconnects_ends_its_waits() -> None:
    with program("serving_clients.py", PACKAGE="kokanee") as server:
        simple = kokanee.SimpleClient(reconnection_delay=10 * LIMIT)
        simple.connect(url_of(server))
        server.stop()
        until(lambda: not simple.connected_event.is_set())
    ended: list[str] = []

    def receive() -> None:
        try:
            simple.receive()
        except exceptions.DisconnectedError:
            ended.append("receive")

    thread = threading.Thread(target=receive)
    thread.start()
    simple.disconnect()
    thread.join(LIMIT)
    assert ended == ["receive"]


@pytest.mark.parametrize("serializer", ["default", "reversed"])
def test_events_with_callbacks_and_of_own_packets_wait_for_a_server_that_does_not_read(serializer: str) -> None:
    with program("serving_clients.py", PACKAGE="kokanee", SERIALIZER=serializer) as server:
        options = {"serializer": Reversed} if serializer == "reversed" else {}
        sio = kokanee.Client(**options)
        sio.connect(url_of(server))
        answers: list[Any] = []
        sent: list[int] = []

        def emit() -> None:
            for number in range(60):
                sio.emit("echo", (number, "x" * 500_000), callback=lambda *args: answers.append(args[0]))
                sent.append(number)

        server.process.send_signal(signal.SIGSTOP)
        try:
            thread = threading.Thread(target=emit)
            thread.start()
            until(lambda: not sio._engine.has_room("/"))
            # 30 MB were to be sent.
            assert thread.is_alive() and len(sent) < 59
        finally:
            server.process.send_signal(signal.SIGCONT)
        thread.join(LIMIT)
        until(lambda: sorted(answers) == list(range(60)))
        sio.disconnect()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_handler_of_the_end_may_connect_again(server: Program, kind: str) -> None:
    url = url_of(server)
    if kind == "sync":
        sio, again = kokanee.Client(), threading.Event()

        def final() -> None:
            sio.connect(url, transports="websocket")
            again.set()

        sio.on("__disconnect_final", final)
        sio.connect(url, transports="websocket")
        sio.emit("kick")
        assert again.wait(LIMIT)
        assert sio.call("echo", 1, timeout=LIMIT) == 1 and sio.connected
        sio.off("__disconnect_final")
        sio.disconnect()
        return

    async def main() -> None:
        sio, again = kokanee.AsyncClient(), asyncio.Event()

        async def final() -> None:
            await sio.connect(url, transports="websocket")
            again.set()

        sio.on("__disconnect_final", final)
        await sio.connect(url, transports="websocket")
        await sio.emit("kick")
        await asyncio.wait_for(again.wait(), LIMIT)
        assert await sio.call("echo", 1, timeout=LIMIT) == 1 and sio.connected
        sio.off("__disconnect_final")
        await sio.disconnect()

    asyncio.run(main())


def test_receive_has_one_timeout_for_all_that_it_waits_for(server: Program) -> None:
    done = threading.Event()

    def wake(sio: kokanee.SimpleClient) -> None:
        while not done.wait(0.05):
            sio.input_event.set()

    with kokanee.SimpleClient() as sio:
        sio.connect(url_of(server), transports="websocket")
        threading.Thread(target=wake, args=[sio], daemon=True).start()
        limit = threading.Timer(LIMIT, done.set)
        limit.start()
        try:
            with pytest.raises(exceptions.TimeoutError):
                sio.receive(timeout=0.3)
            assert not done.is_set()
        finally:
            done.set()
            limit.cancel()


def test_the_interrupt_key_needs_no_lock_of_the_thread_that_it_interrupts(server: Program) -> None:
    from kokanee import _client_hub

    sio = kokanee.Client()
    sio.connect(url_of(server), transports="websocket")
    sio._end = threading.Event()

    def interrupted() -> None:
        # As within the first and the last instruction of its `wait`.
        with sio._end._cond:
            _client_hub.interrupt()

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive()
    until(lambda: not sio.connected and sio._engine is None)
