"""The API of servers and managers: options, registration, clients without a connection, and what applications put in."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import urllib.error
import urllib.request
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import kokanee
import pytest
from kokanee import _engine, packet
from kokanee.async_pubsub_manager import AsyncPubSubManager
from kokanee.pubsub_manager import PubSubManager
from raw import websocket
from support import program, until
from test_serializers import client

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


class Virtual:
    """A client of a `Server` that has no connection."""

    def __init__(self, server: kokanee.Server, eio_sid: str, namespace: str = "/") -> None:
        self.server, self.eio_sid, self.namespace = server, eio_sid, namespace
        self.received: list[Any] = []
        # Where messages for a connection go.
        clients = server.__dict__.setdefault("_virtual", {})
        clients[eio_sid] = self
        server._send_message = lambda to, data: clients[to].received.append(data)  # type: ignore[method-assign]
        server._handle_eio_connect(eio_sid, {"name": eio_sid})
        self.send(packet.CONNECT, {"token": 1})

    def send(self, kind: int, data: Any = None, id: int | None = None) -> None:
        encoded = packet.Packet(kind, data, namespace=self.namespace, id=id).encode()
        for part in encoded if isinstance(encoded, list) else [encoded]:
            self.server._handle_eio_message(self.eio_sid, part)

    @property
    def sid(self) -> str | None:
        return self.server.manager.sid_from_eio_sid(self.eio_sid, self.namespace)

    def take(self) -> list[Any]:
        taken, self.received[:] = list(self.received), []
        return taken


def server(**options: Any) -> kokanee.Server:
    return kokanee.Server(async_mode="threading", async_handlers=False, **options)


def test_clients_without_a_connection_do_everything_in_python() -> None:
    sio = server()
    seen: list[Any] = []
    sio.on("connect", lambda sid, environ: seen.append(environ["name"]))
    sio.on("disconnect", lambda sid, reason: seen.append((reason, sio.rooms(sid)[1:])))

    @sio.on("message")
    def message(sid: str, *args: Any) -> Any:
        return args

    a, b = Virtual(sio, "a"), Virtual(sio, "b")
    sids = a.sid, b.sid
    assert a.take() == [f'0{{"sid":"{a.sid}"}}'] and len(a.sid or "") == 20
    a.send(packet.EVENT, ["message", b"x", 1], id=5)
    assert a.take() == ['61-5[{"_placeholder":true,"num":0},1]', b"x"]
    sio.enter_room(sids[0], "room")
    sio.enter_room(sids[1], ("not", "text"))
    assert dict(sio.manager.rooms["/"]["room"]) == {sids[0]: "a"}
    assert sio.manager.rooms["/"][None].inverse == {"a": sids[0], "b": sids[1]}
    sio.emit("e", b"bytes", to=[sids[1], "room"])
    expected = ['51-["e",{"_placeholder":true,"num":0}]', b"bytes"]
    assert (a.take(), b.take()[1:]) == (expected, expected)
    sio.emit("e", to=("not", "text"))
    answers: list[Any] = []
    sio.emit("q", (1, 2), to=sids[0], callback=lambda *args: answers.append(args))
    assert a.take()[-1] == '21["q",1,2]'
    a.send(packet.ACK, ["yes"], id=1)
    a.send(packet.ACK, ["again"], id=1)
    assert answers == [("yes",)]
    with sio.session(sids[0]) as session:
        session["x"] = 1
    assert sio.get_session(sids[0]) == {"x": 1}
    a.send(packet.DISCONNECT)
    sio._handle_eio_disconnect("b", sio.reason.PING_TIMEOUT)
    assert seen == ["a", "b", ("client disconnect", ["room"]), ("ping timeout", [("not", "text")])]
    sio._handle_eio_disconnect("a")
    assert (sio.manager.rooms, sio.environ, sio._sessions, sio._local) == ({}, {}, {}, set())


def test_exceptions_of_handlers_reach_who_brings_the_connection() -> None:
    sio = server()

    @sio.event
    def message(sid: str) -> None:
        raise KeyError("from the handler")

    client = Virtual(sio, "a")
    with pytest.raises(KeyError, match="from the handler"):
        client.send(packet.EVENT, ["message"])


@pytest.mark.parametrize(
    "text",
    ['2["connect"]', '2["disconnect"]', "2[]", "2", "9", '4{"message":"x"}', "51-[]text"],
)
def test_packets_that_no_client_sends_are_refused(text: str) -> None:
    sio = server()
    called: list[Any] = []
    sio.on("*", lambda *args: called.append(args))
    one = Virtual(sio, "a")
    with pytest.raises(ValueError):
        one.server._handle_eio_message("a", text)
        one.server._handle_eio_message("a", "a text")
    assert called == [] and sio.manager.is_connected(one.sid, "/")


def test_always_connect_lets_clients_in_before_their_handler_runs() -> None:
    sio = server(always_connect=True)
    left: list[Any] = []

    @sio.event
    def connect(sid: str, environ: Any) -> Any:
        assert sio.manager.is_connected(sid, "/")
        return environ["name"] != "bad"

    sio.on("disconnect", lambda sid: left.append(sid))
    assert Virtual(sio, "good").take()[0].startswith('0{"sid"')
    taken = Virtual(sio, "bad").take()
    assert taken[0].startswith('0{"sid"')
    assert taken[1:] == ['1{"message":"Connection rejected by server"}']
    assert left == [] and len(sio.manager.clients) == 1


def test_a_namespace_takes_one_client_of_a_connection() -> None:
    sio = server(namespaces=["/other"])
    one = Virtual(sio, "a", "/other")
    one.take()
    one.send(packet.CONNECT)
    Virtual(sio, "b", "/closed")
    assert one.take() == ['4/other,{"message":"Unable to connect"}']
    assert sio.__dict__["_virtual"]["b"].take() == ['4/closed,{"message":"Unable to connect"}']


@pytest.mark.parametrize(
    "event, namespace, handler, text",
    [
        ("connect", None, lambda: None, "connect(sid, environ, auth) or connect(sid, environ), but this one is"),
        ("connect", "*", lambda sid, environ: None, "connect(namespace, sid, environ, auth) or connect(namespace, sid,"),
        ("disconnect", None, lambda sid, reason, more: None, "disconnect(sid, reason) or disconnect(sid), but"),
        ("add", None, lambda: None, "add(sid, …), but this one is <lambda>()"),
        ("add", None, lambda *, sid: None, "but this one is <lambda>(*, sid)"),
        ("*", None, lambda sid: None, "*(event, sid, …), but this one is <lambda>(sid)"),
        ("add", "*", lambda sid: None, "add(namespace, sid, …), but"),
        ("*", "*", lambda event, sid: None, "*(event, namespace, sid, …), but"),
    ],
)
def test_a_handler_that_can_never_be_called_is_refused_with_both_signatures(
    event: str, namespace: str | None, handler: Any, text: str
) -> None:
    with pytest.raises(TypeError) as error:
        server().on(event, handler, namespace=namespace)
    assert text in str(error.value)


def test_handlers_that_can_be_called_are_accepted() -> None:
    sio = server()
    for handler in (print, lambda *args: None, lambda sid, a=1, *, b=2: None, Virtual.send, str.upper):
        sio.on("add", handler)
    sio.on("*", lambda *args: None, namespace="*")
    sio.on("add", lambda namespace, sid: None, namespace="*")


@pytest.mark.parametrize("name", ["on_connect", "on_disconnect", "on_add"])
def test_a_method_that_can_never_be_called_is_refused_with_its_namespace(name: str) -> None:
    class Wrong(kokanee.Namespace):
        pass

    setattr(Wrong, name, lambda self: None)
    with pytest.raises(TypeError, match=f"a handler of '{name[3:]}' is called as {name[3:]}"):
        server().register_namespace(Wrong("/wrong"))


def test_empty_targets_are_everybody_or_by_an_option_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for strict, received in ((False, ['2["e"]']), (True, [])):
        sio = server(strict_targets=strict, logger=logging.getLogger("targets"))
        one = Virtual(sio, "a")
        one.take()
        sio.emit("e", to=[])
        assert one.take() == received
        sio.emit("e", to=None)
        assert one.take() == ['2["e"]']
    assert [record for record in caplog.records if "strict_targets" in record.getMessage()]


def test_wrappers_of_handlers_are_called_with_what_they_take() -> None:
    import functools

    calls: list[Any] = []

    def passing(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    def dropping(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(sid: str, *args: Any) -> Any:
            return function(*args)

        return wrapper

    sio = server(namespaces=["/a", "/b"])
    sio.on("connect", passing(lambda sid, environ: calls.append("two")), namespace="/a")
    sio.on("disconnect", dropping(lambda: calls.append("none")), namespace="/b")
    Virtual(sio, "a", "/a")
    Virtual(sio, "b", "/b").send(packet.DISCONNECT)
    assert calls == ["two", "none"]


class Bus:
    """Connects managers in this process."""

    def __init__(self) -> None:
        self.listeners: list[queue.Queue[Any]] = []

    def publish(self, message: Any) -> None:
        for listener in self.listeners:
            listener.put(message)


class Manager(PubSubManager):
    def __init__(self, bus: Bus, **options: Any) -> None:
        super().__init__(**options)
        self.bus = bus
        self.messages: queue.Queue[Any] = queue.Queue()
        if not self.write_only:
            bus.listeners.append(self.messages)

    def _publish(self, data: dict[str, Any]) -> None:
        self.bus.publish(self.json.dumps(data))

    def _listen(self) -> Any:
        while (message := self.messages.get()) is not None:
            yield message


def test_servers_work_together_through_a_manager_of_an_application() -> None:
    bus = Bus()
    servers = [server(client_manager=Manager(bus)) for _ in range(2)]
    a, b = (Virtual(sio, name) for sio, name in zip(servers, "ab"))
    assert until(lambda: a.received and b.received)
    a.take(), b.take()
    servers[0].enter_room(b.sid, "room")
    until(lambda: servers[1].rooms(b.sid)[1:] == ["room"])
    servers[0].emit("e", (b"x", 1), to="room")
    assert until(lambda: len(b.received) == 2 and b.take()) == [
        '51-["e",{"_placeholder":true,"num":0},1]',
        b"x",
    ]
    answers: list[Any] = []
    servers[0].emit("q", to=b.sid, callback=lambda *args: answers.append(args))
    until(lambda: b.take() == ['21["q"]'])
    b.send(packet.ACK, ["yes", 2], id=1)
    assert until(lambda: answers) == [("yes", 2)]
    writer = Manager(bus, write_only=True)
    writer.emit("w", {"x": 1})
    until(lambda: a.take() == ['2["w",{"x":1}]'])
    writer.disconnect(b.sid)
    until(lambda: servers[1].manager.rooms == {})
    bus.publish(None)


def test_message_queues_are_refused_with_a_reason() -> None:
    with pytest.warns(UserWarning, match="does not connect servers by Redis yet"):
        manager = kokanee.RedisManager("redis://")
    sio = server(client_manager=manager)
    with pytest.raises(RuntimeError, match="PubSubManager"):
        sio.handle_request({"PATH_INFO": "/socket.io/", "REQUEST_METHOD": "GET"}, None)
    with pytest.raises(RuntimeError, match="RedisManager"):
        manager.emit("e", 1)


def test_clients_of_an_async_server_without_a_connection() -> None:
    async def run() -> None:
        sio = kokanee.AsyncServer(async_mode="asgi", async_handlers=False)
        sent: list[Any] = []

        async def send(eio_sid: str, pkt: Any) -> None:
            sent.append((eio_sid, pkt.data))

        sio._send_eio_packet = send  # type: ignore[method-assign]

        @sio.event
        async def ask(sid: str) -> Any:
            await sio.emit("back", to=sid)
            return "answer"

        await sio._handle_eio_connect("a", {})
        await sio._handle_eio_message("a", "0")
        await sio._handle_eio_message("a", '27["ask"]')
        assert sent[1:] == [("a", '2["back"]'), ("a", '37["answer"]')]
        await sio._handle_eio_disconnect("a")
        assert sio.manager.rooms == {}

    asyncio.run(run())


def test_async_managers_of_an_application_publish() -> None:
    class Publishing(AsyncPubSubManager):
        published: list[Any] = []

        async def _publish(self, data: Any) -> None:
            self.published.append(data)

    async def run() -> None:
        manager = Publishing(write_only=True)
        await manager.emit("e", ("a", "b"), room="r")
        assert manager.published[0]["data"] == ["a", "b"] and manager.published[0]["room"] == "r"

    asyncio.run(run())


@KINDS
def test_call_ends_when_the_client_leaves(kind: str) -> None:
    with program("options.py", KIND=kind) as running:
        with client(running.port, "websocket") as one:
            # It never answers in time.
            answers: list[Any] = []
            with client(running.port, "websocket") as other:
                other.on("question", lambda: other.disconnect())
                one.emit("ask", other.get_sid(), callback=answers.append)
                assert until(lambda: answers) == ["gone"]
            assert one.call("ask", "nobody") == "gone"


def test_a_function_in_the_place_of_send_packet_sees_what_is_sent() -> None:
    with program("options.py", KIND="sync") as running:
        with client(running.port, "websocket") as one:
            one.on("question", lambda: "answer")
            assert one.call("ask", one.get_sid()) == "answer"
            seen = one.call("packets")
            assert any('["question"]' in str(text) for text in seen), seen


@KINDS
def test_origins_and_cookies(kind: str) -> None:
    with program("options.py", KIND=kind) as running:
        base = f"http://127.0.0.1:{running.port}"

        def open_session(origin: str) -> Any:
            request = urllib.request.Request(f"{base}/socket.io/?EIO=4&transport=polling")
            request.add_header("Origin", origin)
            return urllib.request.urlopen(request, timeout=10)

        with open_session(base + ".test") as response:
            assert response.headers["Access-Control-Allow-Origin"] == base + ".test"
            cookie = response.headers["Set-Cookie"]
            assert b'"pingInterval":3000' in response.read()
        assert cookie.startswith("place=")
        for part in ("Path=/", "SameSite=Strict", "HttpOnly"):
            assert part.lower() in cookie.lower()
        with pytest.raises(urllib.error.HTTPError) as error:
            open_session("http://elsewhere.test")
        assert error.value.code == 400
        assert error.value.read() == b'"Not an accepted origin."'


def test_nothing_of_clients_is_left_after_a_shutdown_that_they_do_not_answer() -> None:
    sio = kokanee.Server(async_mode="threading")
    left: list[Any] = []
    sio.on("disconnect", lambda sid, reason: left.append(sio.get_environ(sid)))
    with make_server("127.0.0.1", 0, kokanee.WSGIApp(sio), handler_class=Silent) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        for rounds in (1, 2):
            clients = [websocket(host.server_port) for _ in range(3)]
            assert len(sio.environ) == 3
            sio.shutdown()
            until(lambda: len(left) == 3 * rounds)
            until(lambda: not sio.environ and not sio._ended, seconds=3)
            for client in clients:
                client.close()
        host.shutdown()
    assert all(environ["REQUEST_METHOD"] == "GET" for environ in left)


def test_after_a_shutdown_only_a_request_starts_a_server_again(caplog: pytest.LogCaptureFixture) -> None:
    sio = kokanee.Server(async_mode="threading", logger=True)
    answers: list[Any] = []
    with make_server("127.0.0.1", 0, kokanee.WSGIApp(sio), handler_class=Silent) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        websocket(host.server_port).close()
        caplog.set_level("INFO", "socketio.server")
        sio.shutdown()
        sio.emit("event", callback=lambda *args: answers.append(args))
        sio.send("text", to="room")
        sio.close_room("room")
        sio.disconnect("nobody")
        assert sio.rooms("nobody") == [] and not answers
        with pytest.raises(kokanee.exceptions.TimeoutError):
            sio.call("event", to="nobody", timeout=0.1)
        # It can be shut down twice.
        sio.shutdown()
        assert sio._engine.is_closed()
        assert "a request starts Socket.IO again" not in caplog.messages
        opened = websocket(host.server_port)
        assert caplog.messages.count("a request starts Socket.IO again") == 1
        sio.emit("event", 1)
        assert opened.recv() == '42["event",1]'
        opened.close()
        host.shutdown()
    sio.shutdown()


def test_nothing_of_connections_is_left_after_the_shutdown_of_an_async_server() -> None:
    async def shut_down() -> dict[str, Any]:
        sio = kokanee.AsyncServer(async_mode="asgi")
        sio._loop.start()
        # The engine has not said that it has ended.
        sio.environ["unended"] = {}
        await sio.shutdown()
        return sio.environ

    assert asyncio.run(shut_down()) == {}


class Silent(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.parametrize("last", [0, 1, 2])
def test_the_end_of_answers_from_other_workers_may_be_handled_before_the_answers(last: int) -> None:
    sio = kokanee.Server(async_mode="threading")
    heard: list[Any] = []
    sio._callbacks[7] = heard.append, "client", "/"
    events: list[tuple[int, int, Any]] = [(_engine.ONE_ANSWER, 7, ["a"]), (_engine.ONE_ANSWER, 7, ["b"])]
    events.insert(last, (_engine.LAST_ANSWER, 7, 2))
    for event in events:
        assert 7 in sio._callbacks
        sio._handle(event)
    assert heard == ["a", "b"]
    assert 7 not in sio._callbacks
    assert not sio._answers._counts


def test_no_answer_from_other_workers_ends_the_wait() -> None:
    sio = kokanee.Server(async_mode="threading")
    sio._callbacks[7] = print, "client", "/"
    sio._handle((_engine.LAST_ANSWER, 7, 0))
    assert not sio._callbacks
