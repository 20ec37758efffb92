"""The API of servers, by the reference of python-socketio: each test passes under the published package and under this one.

Clients have no connection: as Flask-SocketIO's test client, they are made by `_handle_eio_connect` and fed with packets, and two
methods of the server are replaced by what collects the packets for them.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import types
from collections.abc import Iterator
from typing import Any

import kokanee
import pytest
import socketio

NUMBERS = itertools.count()


def run(value: Any) -> Any:
    """Returns a value, or what a coroutine gives."""
    if not inspect.isawaitable(value):
        return value

    async def wait() -> Any:
        return await value

    return LOOP.run_until_complete(wait())


LOOP = asyncio.new_event_loop()


class Client:
    """A client without a connection."""

    def __init__(self, bed: Bed, namespace: str = "/", auth: Any = None, environ: Any = None) -> None:
        self.bed, self.namespace = bed, namespace
        self.eio_sid = f"eio-{next(NUMBERS)}"
        self.received: list[Any] = []
        bed.clients[self.eio_sid] = self
        if bed.package is socketio:
            # Its sessions live there.
            bed.sio.eio.sockets[self.eio_sid] = types.SimpleNamespace(session={}, closed=False)
        run(bed.sio._handle_eio_connect(self.eio_sid, environ if environ is not None else {"name": self.eio_sid}))
        self.send(bed.packet.CONNECT, auth)
        self.answer = self.take()

    @property
    def sid(self) -> Any:
        return self.bed.sio.manager.sid_from_eio_sid(self.eio_sid, self.namespace)

    def send(self, kind: int, data: Any = None, id: int | None = None) -> None:
        encoded = self.bed.packet.Packet(kind, data, namespace=self.namespace, id=id).encode()
        for part in encoded if isinstance(encoded, list) else [encoded]:
            run(self.bed.sio._handle_eio_message(self.eio_sid, part))

    def emit(self, *data: Any, id: int | None = None) -> list[Any]:
        """Emits an event, and returns what the client gets for it."""
        self.take()
        self.send(self.bed.packet.EVENT, list(data), id)
        return self.take()

    def take(self) -> list[Any]:
        taken, self.received[:] = list(self.received), []
        return taken

    def leave(self, reason: str = "transport close") -> None:
        run(self.bed.sio._handle_eio_disconnect(self.eio_sid, reason))
        if self.bed.package is socketio:
            del self.bed.sio.eio.sockets[self.eio_sid]


class Bed:
    """A server of one of the packages, with clients that have no connection."""

    def __init__(self, package: Any, is_async: bool, **options: Any) -> None:
        options = {"async_handlers": False, "monitor_clients": False, **options}
        self.package, self.is_async = package, is_async
        self.packet = package.packet
        make = package.AsyncServer if is_async else package.Server
        self.sio = make(async_mode="asgi" if is_async else "threading", **options)
        self.Namespace = package.AsyncNamespace if is_async else package.Namespace
        self.errors = package.exceptions
        self.clients: dict[str, Client] = {}

        def collect(eio_sid: str, pkt: Any) -> None:
            encoded = pkt.encode()
            self.clients[eio_sid].received.extend(encoded if isinstance(encoded, list) else [encoded])

        def collect_engine_packet(eio_sid: str, pkt: Any) -> None:
            self.clients[eio_sid].received.append(pkt.data)

        self.sio._send_packet = self.method(collect)
        self.sio._send_eio_packet = self.method(collect_engine_packet)

    def method(self, function: Any) -> Any:
        """Returns a function, or the coroutine function that calls it."""
        if not self.is_async:
            return function

        async def method(*args: Any) -> Any:
            return function(*args)

        return method

    def on(self, event: str, namespace: str | None = None) -> Any:
        def register(function: Any) -> Any:
            self.sio.on(event, self.handler(function), namespace=namespace)
            return function

        return register

    def handler(self, function: Any) -> Any:
        """Returns a function as the handler of the server's kind, with the same parameters."""
        if not self.is_async:
            return function
        parameters = inspect.signature(function).parameters.values()
        names = ", ".join(str(each.replace(annotation=each.empty)) for each in parameters)
        call = names.replace("=None", "").replace(", name=name", "")
        scope: dict[str, Any] = {"function": function}
        exec(f"async def handler({names}):\n    return function({call})\n", scope)
        return scope["handler"]

    def client(self, *args: Any, **options: Any) -> Client:
        return Client(self, *args, **options)

    def __getattr__(self, name: str) -> Any:
        """Methods of the server, run to their end."""
        method = getattr(self.sio, name)
        return lambda *args, **options: run(method(*args, **options))


@pytest.fixture(
    params=[(package, is_async) for package in (socketio, kokanee) for is_async in (False, True)],
    ids=lambda param: f"{param[0].__name__}-{'async' if param[1] else 'sync'}",
)
def make(request: pytest.FixtureRequest) -> Iterator[Any]:
    package, is_async = request.param
    yield lambda **options: Bed(package, is_async, **options)


# Connecting.


@pytest.mark.parametrize("result, is_in", [(None, True), (True, True), (0, True), ("", True), ([], True), (False, False)])
def test_only_false_refuses(make: Any, result: Any, is_in: bool) -> None:
    bed = make()
    bed.on("connect")(lambda sid, environ: result)
    one = bed.client()
    if is_in:
        assert one.answer == [f'0{{"sid":"{one.sid}"}}']
    else:
        assert one.answer == ['4{"message":"Connection rejected by server"}'] and one.sid is None


@pytest.mark.parametrize(
    "args, data",
    [
        ((), '{"message":"Connection rejected by server"}'),
        (("no",), '{"message":"no"}'),
        ((5,), '{"message":"5"}'),
        (("no", {"a": 1}), '{"message":"no","data":{"a":1}}'),
        (("no", 1, 2), '{"message":"no","data":[1,2]}'),
    ],
)
def test_what_a_refusal_says(make: Any, args: Any, data: str) -> None:
    bed = make()

    @bed.on("connect")
    def connect(sid: str, environ: Any, auth: Any) -> None:
        raise bed.errors.ConnectionRefusedError(*args)

    assert bed.client(auth={"a": 1}).answer == ["4" + data]


def test_the_builtin_error_of_that_name_refuses_without_its_text(make: Any) -> None:
    bed = make()

    @bed.on("connect")
    def connect(sid: str, environ: Any) -> None:
        raise ConnectionRefusedError("secret")

    assert bed.client().answer == ['4{"message":"Connection refused by server"}']


def test_auth_and_environ_reach_the_connect_handler(make: Any) -> None:
    bed = make()
    seen: list[Any] = []
    bed.on("connect")(lambda sid, environ, auth: seen.append((environ, auth)))
    environ = {"PATH_INFO": "/"}
    one = bed.client(auth={"token": 1}, environ=environ)
    assert seen == [(environ, {"token": 1})] and seen[0][0] is environ
    assert bed.sio.get_environ(one.sid) is environ and bed.sio.environ[one.eio_sid] is environ
    bed.client(auth={})
    assert seen[1][1] is None
    assert bed.sio.get_environ("nobody") is None and bed.sio.get_environ(one.sid, "/other") is None


def test_namespaces_that_are_open(make: Any) -> None:
    bed = make(namespaces=["/listed"])
    bed.on("e", namespace="/function")(lambda sid: None)
    bed.sio.register_namespace(bed.Namespace("/class"))
    for name in ("/listed", "/function", "/class"):
        assert bed.client(name).sid is not None
    bed.on("*", namespace="*")(lambda event, namespace, sid: None)
    closed = bed.client("/closed")
    assert closed.sid is None and closed.answer[0].startswith("4/closed,")
    everything = make(namespaces="*")
    assert everything.client("/anything").sid is not None


def test_a_connection_is_in_a_namespace_once(make: Any) -> None:
    bed = make(namespaces=["/", "/other"])
    one = bed.client()
    sid = one.sid
    one.send(bed.packet.CONNECT)
    assert one.sid == sid and one.take()[0].startswith("4")
    one.namespace = "/other"
    one.send(bed.packet.CONNECT)
    assert one.sid is not None and one.sid != sid
    assert bed.sio.get_environ(one.sid, "/other") is bed.sio.get_environ(sid)


def test_disconnect_handlers(make: Any) -> None:
    bed = make()
    seen: list[Any] = []
    bed.on("disconnect")(lambda sid, reason: seen.append((reason, sorted(bed.sio.rooms(sid)) == sorted([sid, "room"]))))
    reasons = bed.sio.reason
    for reason in (reasons.PING_TIMEOUT, reasons.TRANSPORT_CLOSE, reasons.TRANSPORT_ERROR):
        one = bed.client()
        bed.enter_room(one.sid, "room")
        one.leave(reason)
        assert seen.pop() == (reason, True)
    one = bed.client()
    bed.enter_room(one.sid, "room")
    one.send(bed.packet.DISCONNECT)
    assert seen.pop() == (reasons.CLIENT_DISCONNECT, True)
    one = bed.client()
    bed.enter_room(one.sid, "room")
    bed.disconnect(one.sid)
    assert one.take() == ["1"] and seen.pop() == (reasons.SERVER_DISCONNECT, True)
    bed.disconnect(one.sid), bed.disconnect("nobody"), bed.disconnect("nobody", namespace="/none")
    assert seen == [] and bed.sio.manager.rooms == {}


def test_a_legacy_disconnect_handler(make: Any) -> None:
    bed = make()
    seen: list[str] = []
    bed.on("disconnect")(lambda sid: seen.append(sid))
    one = bed.client()
    sid = one.sid
    one.leave()
    assert seen == [sid]


# Events.


def test_acknowledgements(make: Any) -> None:
    bed = make()
    results = {"none": None, "one": 1, "list": [1, 2], "tuple": (1, {"a": 2}), "empty": (), "false": False, "bytes": b"x"}
    for name, result in results.items():
        bed.on(name)(lambda sid, result=None, name=name: results[name])
    one = bed.client()
    expected = {
        "none": ["37[]"],
        "one": ["37[1]"],
        "list": ["37[[1,2]]"],
        "tuple": ['37[1,{"a":2}]'],
        "empty": ["37[]"],
        "false": ["37[false]"],
        "bytes": ['61-7[{"_placeholder":true,"num":0}]', b"x"],
    }
    for name, packets in expected.items():
        assert one.emit(name, id=7) == packets, name
        assert one.emit(name) == [], name
    assert one.emit("unknown", id=7) == []


def test_arguments_of_events(make: Any) -> None:
    bed = make()
    seen: list[Any] = []
    bed.on("e")(lambda sid, *args: seen.append(args))
    one = bed.client()
    one.emit("e")
    one.emit("e", 1, "x", None, {"a": [b"1", {"b": b"2"}]})
    assert seen == [(), (1, "x", None, {"a": [b"1", {"b": b"2"}]})]


def test_which_handler_is_called(make: Any) -> None:
    bed = make()
    on = bed.on
    on("own", "/a")(lambda sid, *args: ["own", *args])
    on("*", "/a")(lambda event, sid, *args: ["event", event, *args])
    on("own", "*")(lambda namespace, sid, *args: ["namespace", namespace, *args])
    on("*", "*")(lambda event, namespace, sid, *args: ["both", event, namespace, *args])
    on("other", "/b")(lambda sid: "b")
    a, b = bed.client("/a"), bed.client("/b")
    assert a.emit("own", 1, id=1) == ['3/a,1[["own",1]]']
    assert a.emit("what", 1, id=1) == ['3/a,1[["event","what",1]]']
    assert b.emit("own", 1, id=1) == ['3/b,1[["namespace","/b",1]]']
    assert b.emit("what", 1, id=1) == ['3/b,1[["both","what","/b",1]]']
    assert b.emit("other", id=1) == ['3/b,1["b"]']


def test_the_last_handler_of_an_event_counts_and_decorators_return_the_function(make: Any) -> None:
    bed = make()
    first, second = bed.handler(lambda sid: 1), bed.handler(lambda sid: 2)
    assert bed.sio.on("e")(first) is first
    assert bed.sio.on("e", second) is None
    assert bed.client().emit("e", id=1) == ["31[2]"]

    def named(sid: Any) -> Any:
        return 3

    handler = bed.handler(named)
    handler.__name__ = "named"
    assert bed.sio.event(handler) is handler
    assert bed.sio.event(namespace="/x")(handler) is handler
    assert bed.client().emit("named", id=1) == ["31[3]"]
    assert bed.client("/x").emit("named", id=1) == ["3/x,1[3]"]
    assert set(bed.sio.handlers) == {"/", "/x"} and bed.sio.handlers["/x"] == {"named": handler}


def test_classes_of_namespaces(make: Any) -> None:
    bed = make()
    seen: list[Any] = []

    class Chat(bed.Namespace):  # type: ignore[misc, name-defined]
        pass

    for name in ("connect", "disconnect", "say", "slow"):
        setattr(Chat, "on_" + name, staticmethod(bed.handler(lambda *args, name=name: seen.append((name, *args)))))
    Chat.on_say = staticmethod(bed.handler(lambda sid, text: text.upper()))
    chat = Chat("/chat")
    bed.sio.register_namespace(chat)
    assert (chat.namespace, chat.server) == ("/chat", bed.sio)
    assert bed.sio.namespace_handlers == {"/chat": chat}
    assert bed.Namespace().namespace == "/"
    one = bed.client("/chat")
    assert one.emit("say", "a", id=1) == ['3/chat,1["A"]']
    # Without a method: an empty acknowledgement.
    assert one.emit("unknown", id=1) == ["3/chat,1[]"]
    run(chat.emit("e", 1, to=one.sid))
    run(chat.send("text"))
    run(chat.enter_room(one.sid, "room"))
    assert sorted(chat.rooms(one.sid)) == sorted(["room", one.sid])
    run(chat.emit("r", room="room", skip_sid=one.sid))
    run(chat.close_room("room"))
    run(chat.save_session(one.sid, {"a": 1}))
    assert run(chat.get_session(one.sid)) == {"a": 1}
    run(chat.disconnect(one.sid))
    assert one.take() == ['2/chat,["e",1]', '2/chat,["message","text"]', "1/chat,"]
    assert [each[0] for each in seen] == ["connect", "disconnect"]


def test_what_is_not_a_namespace_is_refused(make: Any) -> None:
    bed = make()
    other = bed.package.Namespace if bed.is_async else bed.package.AsyncNamespace
    for wrong, text in (("/x", "Not a namespace instance"), (other("/x"), "Not a valid namespace class for this server")):
        with pytest.raises(ValueError, match=text):
            bed.sio.register_namespace(wrong)


def test_an_overridden_trigger_event_gets_all_events(make: Any) -> None:
    bed = make()
    seen: list[Any] = []

    class Any_(bed.Namespace):  # type: ignore[misc, name-defined]
        trigger_event = (
            (lambda self, event, *args: seen.append((event, len(args))))
            if not bed.is_async
            else None
        )

    if bed.is_async:

        async def trigger_event(self: Any, event: str, *args: Any) -> None:
            seen.append((event, len(args)))

        Any_.trigger_event = trigger_event  # type: ignore[assignment]
    bed.sio.register_namespace(Any_("/any"))
    one = bed.client("/any", {"auth": 1})
    one.emit("a b", 1)
    one.leave()
    assert seen == [("connect", 3), ("a b", 2), ("disconnect", 2)]


# Emitting.


def test_data_becomes_arguments(make: Any) -> None:
    bed = make()
    one = bed.client()
    values = {
        None: '2["e"]',
        (): '2["e"]',
        (1, 2): '2["e",1,2]',
        "é": '2["e","\\u00e9"]',
        1.5: '2["e",1.5]',
        True: '2["e",true]',
    }
    for value, text in values.items():
        bed.emit("e", value)
        assert one.take() == [text]
    for value, text in (([1, 2], '2["e",[1,2]]'), ({"a": {1: None}}, '2["e",{"a":{"1":null}}]')):
        bed.emit("e", value)
        assert one.take() == [text]
    bed.emit("e", {"a": [b"1"], "b": bytearray(b"2")})
    text, *attachments = one.take()
    assert text == '52-["e",{"a":[{"_placeholder":true,"num":0}],"b":{"_placeholder":true,"num":1}}]'
    assert [bytes(each) for each in attachments] == [b"1", b"2"]
    with pytest.raises(TypeError):
        bed.emit("e", {"a": object()})


def test_targets(make: Any) -> None:
    bed = make(namespaces=["/", "/other"])
    clients = [bed.client() for _ in range(3)]
    a, b, c = (one.sid for one in clients)
    far = bed.client("/other")
    bed.enter_room(a, "ab"), bed.enter_room(b, "ab"), bed.enter_room(c, 7)

    def receivers(**options: Any) -> str:
        bed.emit("e", **options)
        return "".join(name for name, one in zip("abc", clients) for _ in one.take())

    assert receivers() == receivers(to=None) == receivers(to=[]) == receivers(to="") == "abc"
    assert receivers(to="ab") == receivers(room="ab") == "ab"
    assert receivers(to=c) == receivers(to=7) == "c"
    assert receivers(to=["ab", a, 7]) == "abc" and receivers(to=("ab", 7)) == "abc"
    assert receivers(to="nobody") == receivers(namespace="/none") == ""
    assert receivers(skip_sid=a) == "bc" and receivers(skip_sid=[a, b]) == "c"
    assert receivers(to="ab", skip_sid=b) == "a"
    assert far.take() == []
    assert receivers(namespace="/other") == "" and far.take() == ['2/other,["e"]']
    assert receivers(to="ab", ignore_queue=True) == "ab"


def test_send_is_the_event_message(make: Any) -> None:
    bed = make()
    one = bed.client()
    bed.send("text", to=one.sid)
    assert one.take() == ['2["message","text"]']


def test_callbacks_get_the_arguments_of_the_answer_once(make: Any) -> None:
    bed = make()
    one, two = bed.client(), bed.client()
    answers: list[Any] = []
    bed.emit("q", to=one.sid, callback=lambda *args: answers.append(args))
    bed.emit("q", callback=bed.method(lambda *args: answers.append(args)))
    assert one.take() == ['21["q"]', '22["q"]'] and two.take() == ['21["q"]']
    one.send(bed.packet.ACK, ["a", 1], id=1)
    one.send(bed.packet.ACK, ["again"], id=1)
    one.send(bed.packet.ACK, [], id=2)
    two.send(bed.packet.ACK, [b"x"], id=1)
    two.send(bed.packet.ACK, [], id=99)
    assert answers == [("a", 1), (), (b"x",)]
    bed.emit("q", to=one.sid, callback=answers.append)
    one.leave()
    assert len(answers) == 3


def test_call_without_an_answer(make: Any) -> None:
    bed = make(async_handlers=True)
    one = bed.client()
    with pytest.raises(ValueError, match=r"Cannot use call\(\) to broadcast"):
        bed.call("q")
    with pytest.raises(bed.errors.TimeoutError):
        bed.call("q", 1, to=one.sid, timeout=0.05)
    with pytest.raises(bed.errors.TimeoutError):
        bed.call("q", sid="nobody", timeout=0.05)
    with pytest.raises(RuntimeError, match=r"Cannot use call\(\) when async_handlers is False"):
        make().call("q", to="x")


@pytest.mark.parametrize("answer, expected", [([], None), ([1], 1), ([1, 2], (1, 2)), ([None], None)])
def test_call_returns_the_answer(make: Any, answer: Any, expected: Any) -> None:
    bed = make(async_handlers=True)
    one = bed.client()

    def collect(eio_sid: str, pkt: Any) -> Any:
        if pkt.packet_type == bed.packet.EVENT:
            return bed.sio._handle_eio_message(eio_sid, bed.packet.Packet(bed.packet.ACK, answer, id=pkt.id).encode())
        return None

    if bed.is_async:

        async def answering(eio_sid: str, pkt: Any) -> None:
            await collect(eio_sid, pkt)

        bed.sio._send_packet = answering
    else:
        bed.sio._send_packet = collect
    assert bed.call("q", to=one.sid) == expected


# Rooms and sessions.


def test_rooms(make: Any) -> None:
    bed = make(namespaces=["/", "/other"])
    one, two = bed.client(), bed.client()
    assert bed.sio.rooms(one.sid) == [one.sid] and bed.sio.rooms("nobody") == [] and bed.sio.rooms(one.sid, "/x") == []
    bed.enter_room(one.sid, "r"), bed.enter_room(one.sid, "r"), bed.enter_room(two.sid, "r")
    assert sorted(bed.sio.rooms(one.sid)) == sorted([one.sid, "r"])
    manager = bed.sio.manager
    assert set(manager.get_participants("/", "r")) == {(one.sid, one.eio_sid), (two.sid, two.eio_sid)}
    assert set(manager.get_participants("/", None)) == set(manager.get_participants("/", "r"))
    assert set(manager.get_participants("/", ["r", one.sid])) == set(manager.get_participants("/", "r"))
    bed.leave_room(one.sid, "r"), bed.leave_room(one.sid, "r"), bed.leave_room("nobody", "r")
    assert bed.sio.rooms(one.sid) == [one.sid]
    bed.close_room("r"), bed.close_room("r")
    assert bed.sio.rooms(two.sid) == [two.sid]
    with pytest.raises(ValueError, match="sid is not connected to requested namespace"):
        bed.enter_room(one.sid, "r", namespace="/unknown")
    with pytest.raises(KeyError):
        bed.enter_room("nobody", "r")
    with pytest.raises(ValueError, match="cannot enter a sid room"):
        bed.enter_room(one.sid, two.sid)
    with pytest.raises(ValueError, match="cannot close a sid room"):
        bed.close_room(one.sid)


def test_sessions(make: Any) -> None:
    bed = make(namespaces=["/", "/other"])
    one = bed.client()
    sid = one.sid
    session = bed.get_session(sid)
    assert session == {}
    session["a"] = 1
    assert bed.get_session(sid) is session
    bed.save_session(sid, {"b": 2})
    one.namespace = "/other"
    one.send(bed.packet.CONNECT)
    assert bed.get_session(one.sid, namespace="/other") == {}

    async def within_async() -> None:
        async with bed.sio.session(sid) as inner:
            inner["c"] = 3

    if bed.is_async:
        run(within_async())
    else:
        with pytest.raises(ZeroDivisionError), bed.sio.session(sid) as inner:
            inner["c"] = 3
            raise ZeroDivisionError
    assert bed.get_session(sid) == {"b": 2, "c": 3}
    for method in (bed.get_session, lambda sid: bed.save_session(sid, {})):
        with pytest.raises(KeyError):
            method("nobody")
    one.leave()
    with pytest.raises(KeyError):
        bed.get_session(sid)


def test_what_applications_read_of_the_manager(make: Any) -> None:
    bed = make()
    manager = bed.sio.manager
    assert list(manager.get_namespaces()) == [] and manager.rooms == {}
    one, two = bed.client(), bed.client()
    bed.enter_room(one.sid, "r")
    rooms = manager.rooms["/"]
    assert len(rooms[None]) == 2 and one.sid in rooms and "r" in rooms and "x" not in rooms
    assert list(manager.rooms) == ["/"] and set(rooms) == {None, "r", one.sid, two.sid}
    assert list(manager.rooms.get("/", {}).get("r")) == [one.sid]
    assert manager.rooms.get("/none", {}).get("r") is None
    assert dict(rooms["r"]) == {one.sid: one.eio_sid} and rooms["r"].inverse[one.eio_sid] == one.sid
    assert manager.is_connected(one.sid, "/") and not manager.is_connected(one.sid, "/x")
    assert not manager.is_connected("nobody", "/")
    assert manager.eio_sid_from_sid(one.sid, "/") == one.eio_sid
    assert manager.eio_sid_from_sid("nobody", "/") is None and manager.sid_from_eio_sid("nobody", "/") is None
    assert manager.is_sid_room("/", one.sid) and not manager.is_sid_room("/", "r")
    assert manager.get_rooms(one.sid, "/") is not None
    run(manager.emit("e", 1, "/", room="r"))
    assert one.take() == ['2["e",1]'] and two.take() == []
    run(manager.enter_room(two.sid, "/", "r")), run(manager.leave_room(one.sid, "/", "r"))
    assert list(manager.rooms["/"]["r"]) == [two.sid]
    run(manager.close_room("r", "/"))
    assert "r" not in manager.rooms["/"]
    for each in (one, two):
        each.leave()
    assert manager.rooms == {} and bed.sio.environ == {}


def test_the_first_client_initializes_the_manager(make: Any) -> None:
    bed = make()
    calls: list[int] = []
    bed.sio.manager.initialize = lambda: calls.append(1)
    assert not bed.sio.manager_initialized and calls == []
    bed.client(), bed.client()
    assert bed.sio.manager_initialized and calls == [1]


# Around it.


def test_background_tasks(make: Any) -> None:
    bed = make()
    done: list[Any] = []
    if bed.is_async:

        async def work(*args: Any, **options: Any) -> None:
            await bed.sio.sleep(0)
            done.append((args, options))

        async def start() -> None:
            await bed.sio.start_background_task(work, 1, a=2)

        run(start())
    else:

        def plain(*args: Any, **options: Any) -> None:
            bed.sio.sleep(0)
            done.append((args, options))

        bed.sio.start_background_task(plain, 1, a=2).join()
    assert done == [((1,), {"a": 2})]
    assert bed.sio.is_asyncio_based() is bed.is_async


def test_exceptions(make: Any) -> None:
    errors = make().errors
    base = errors.SocketIOError
    names = ["ConnectionError", "ConnectionRefusedError", "TimeoutError", "BadNamespaceError", "DisconnectedError"]
    assert all(issubclass(getattr(errors, name), base) for name in names)
    assert issubclass(errors.ConnectionRefusedError, errors.ConnectionError)
    assert not issubclass(errors.ConnectionError, ConnectionError) and not issubclass(errors.TimeoutError, TimeoutError)
    assert errors.ConnectionRefusedError("a", 1, 2).error_args == {"message": "a", "data": (1, 2)}
    assert errors.ConnectionRefusedError({"a": 1}).error_args == {"message": "{'a': 1}"}


def test_attributes_of_servers(make: Any) -> None:
    bed = make(always_connect=True, namespaces=["/a"])
    sio = bed.sio
    assert sio.reserved_events == ["connect", "disconnect"]
    assert (sio.always_connect, sio.async_handlers, sio.namespaces) == (True, False, ["/a"])
    assert sio.async_mode == sio.eio.async_mode == ("asgi" if bed.is_async else "threading")
    assert sio.packet_class is bed.packet.Packet
    assert sio.eio.async_handlers is False and sio.eio.start_service_task in (True, False)
    assert (sio.eio.ping_interval, sio.eio.ping_timeout, sio.eio.max_http_buffer_size) == (25, 20, 1_000_000)
    assert sio.eio.ping_interval_grace_period == 0
    assert sio.eio.is_asyncio_based() is bed.is_async
    assert (sio.eio.cookie, sio.eio.cors_allowed_origins, sio.eio.allow_upgrades) == (None, None, True)
    assert len(sio.eio.generate_id()) == 20 and len(sio.eio.sockets) == 0
    assert sio.eio.reason.PING_TIMEOUT == "ping timeout"
    assert sio.eio.service_task_handle is None and sio.eio.service_task_event is None
    assert sio.manager.eio_to_sid == {}


def test_engineio_helpers(make: Any) -> None:
    bed = make()
    eio = bed.sio.eio
    event, waiting = eio.create_event(), eio.create_queue()
    event.set()
    run(event.wait())
    with pytest.raises(eio.get_queue_empty_exception()):
        waiting.get_nowait()
    with pytest.raises(KeyError):
        eio._get_socket("nobody")
    with pytest.raises(KeyError):
        eio.transport("nobody")


@pytest.mark.parametrize("path", ["socket.io", "/socket.io", "a/b/", "/a/", ""])
def test_paths_of_applications(make: Any, path: str) -> None:
    bed = make()
    published = socketio.ASGIApp if bed.is_async else socketio.WSGIApp
    app = (bed.package.ASGIApp if bed.is_async else bed.package.WSGIApp)(bed.sio, socketio_path=path)
    assert app.engineio_path == published(bed.sio, socketio_path=path).engineio_path
    other, files = object(), {"/": "index.html"}
    app = type(app)(bed.sio, other, static_files=files)
    if bed.is_async:
        assert (app.engineio_server, app.other_asgi_app, app.static_files) == (bed.sio, other, files)
        assert (app.on_startup, app.on_shutdown) == (None, None)
    else:
        assert (app.engineio_app, app.wsgi_app, app.static_files) == (bed.sio, other, files)


@pytest.mark.parametrize("event, id", [("raises", None), ("raises", 7), ("answers", 7)])
def test_errors_of_handlers_reach_a_test_that_feeds_packets(make: Any, event: str, id: int | None) -> None:
    bed = make()

    @bed.on("raises")
    def raises(sid: str) -> None:
        raise TypeError("within")

    bed.on("answers")(lambda sid: object())
    one = bed.client()
    with pytest.raises(TypeError):
        one.emit(event, id=id)
