"""python-socketio's `Client` and `AsyncClient` against the server under test: docs/demo-events.md, seen by a client.

Every case runs with both clients, each transport, and the default and the msgpack serializer.
"""

import time
from collections.abc import Callable, Iterator

import pytest
import socketio
from engineio.payload import Payload
from peer import LIMIT, Peer
from server import Server, free_port

TOKEN = {"token": "kokanee"}
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}
UNICODE = ["ä€ßø", "日本語", "emoji 😀👩‍👩‍👧 𝄞", "\x00\x01\x1e\x1f", "\u2028\u2029", "quotes \" \\ /", "﷽" * 100]

Open = Callable[..., Peer]


@pytest.fixture(scope="module", params=["default", "msgpack"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    """A server and the serializer that it is set to."""
    with Server("--parser", request.param) as server:
        yield server, request.param


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=list(TRANSPORTS))
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def many_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the client take polling answers of more than 16 packets, at which it otherwise drops the connection."""
    monkeypatch.setattr(Payload, "max_decode_packets", 10_000)


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    """The clients of a test, closed at its end."""
    made: list[Peer] = []
    yield made
    for peer in made:
        peer.close()


@pytest.fixture
def make(kind: str, way: str, peers: list[Peer]) -> Open:
    """Makes clients that are not connected yet."""

    def make(**options: object) -> Peer:
        peers.append(Peer(kind, TRANSPORTS[way], **options))
        return peers[-1]

    return make


@pytest.fixture
def new(make: Open, served: tuple[Server, str]) -> Open:
    """Makes clients with the server's serializer that are not connected yet."""
    return lambda: make(serializer=served[1])


@pytest.fixture
def open_peer(new: Open, served: tuple[Server, str]) -> Open:
    """Connects a client."""
    return lambda **options: new().connect(served[0].url, **options)


def alone(peer: Peer, count: int = 1) -> list[dict]:
    """Waits until the server counts exactly `count` sockets, so that leftovers of earlier tests are gone."""
    deadline = time.monotonic() + LIMIT
    while True:
        [sockets] = peer.call("who")
        if len(sockets) == count:
            return sockets
        assert time.monotonic() < deadline, f"{len(sockets)} sockets instead of {count}"
        time.sleep(0.02)


def test_connect_is_followed_by_welcome(new: Open, served: tuple[Server, str]) -> None:
    peer = new()
    welcome = peer.events("welcome")
    peer.connect(served[0].url)
    [hello] = welcome.next()
    assert hello["id"] == peer.sid()
    assert hello["transport"] in ("polling", "websocket")
    assert isinstance(hello["server"], str)


def test_transport_is_the_wanted_one(open_peer: Open, way: str) -> None:
    peer = open_peer()
    expected = "polling" if way == "polling" else "websocket"
    assert peer.transport == expected
    [me] = [who for who in alone(peer) if who["id"] == peer.sid()]
    assert (me["transport"], me["rooms"]) == (expected, [])


def test_clock_ticks(open_peer: Open) -> None:
    clock = open_peer().events("clock")
    ticks = [tick for [tick] in clock.take(2)]
    assert all(set(tick) == {"time", "clients", "uptime"} for tick in ticks)
    assert ticks[1]["time"] > ticks[0]["time"]


@pytest.mark.parametrize(
    "args",
    [
        ["a text", ""],
        [0, -1, 1.5, 2**31, 2**53 - 1, -(2**53) + 1, 1e-7],
        [True, False, None],
        [[], {}, [[]], {"a": {"b": [{"c": None}]}}],
        UNICODE,
        [{"ключ 😀": "значение"}],
        [],
    ],
)
def test_arguments_come_back_in_acks_and_events(open_peer: Open, args: list) -> None:
    peer = open_peer()
    echo = peer.events("echo")
    assert peer.call("echo", *args) == args
    peer.emit("echo", *args)
    assert echo.next() == args


@pytest.mark.parametrize(
    "args",
    [
        [b"\x01\x02\x03\x04"],
        [b""],
        [bytes(range(256)), "text", b"\x00"],
        [{"a": b"abc", "b": [1, {"c": b"\xff\xfe"}], "d": "text"}],
        [[[[b"12"]]], {"x": {"y": {"z": b"1234567"}}}],
        [bytes([number]) * number for number in range(10)],
    ],
)
def test_binary_at_any_depth(open_peer: Open, args: list) -> None:
    peer = open_peer()
    echo = peer.events("echo")
    assert peer.call("echo", *args) == args
    peer.emit("echo", *args)
    assert echo.next() == args


def test_big_text_and_binary(open_peer: Open) -> None:
    peer = open_peer()
    text = "0123456789 äöü€😀" * 10_000
    assert peer.call("echo", text) == [text]
    data = bytes(number * 7 % 256 for number in range(300_000))
    assert peer.call("binary", data) == [{"bytes": data, "length": len(data)}]
    echo = peer.events("binary")
    peer.emit("binary", data)
    assert echo.next() == [data]


def test_the_server_calls_the_client(open_peer: Open) -> None:
    peer = open_peer()
    peer.on("add", lambda a, b: a + b)
    peer.on("reverse", lambda data: {"reversed": data[::-1]})
    peer.on("both", lambda *args: args)
    assert peer.call("call me", "add", 20, 22) == [42]
    assert peer.call("call me", "reverse", b"abc") == [{"reversed": b"cba"}]
    assert peer.call("call me", "both", 1, "two", [3]) == [1, "two", [3]]


def test_the_server_calls_everybody(open_peer: Open) -> None:
    sockets = [open_peer() for _ in range(3)]
    alone(sockets[0], 3)
    for index, peer in enumerate(sockets):
        peer.on("number", lambda base, index=index: base + index)
    [answers] = sockets[1].call("call everybody", "number", 10)
    assert sorted(answers) == [10, 11, 12]


def test_rooms(open_peer: Open) -> None:
    a, b, c = open_peer(), open_peer(), open_peer()
    joined, left = a.events("joined"), a.events("left")
    heard = {peer: peer.events("room message") for peer in (a, b, c)}
    assert a.call("join", "red") == [["red"]]
    assert b.call("join", "red") == [["red"]]
    assert joined.next() == [{"room": "red", "id": b.sid()}]
    assert c.call("rooms") == [[]]

    assert a.call("room message", {"room": "red", "text": "to b"}) == ["ok"]
    assert heard[b].next() == [{"room": "red", "text": "to b", "from": a.sid()}]
    assert c.call("room message", {"room": "red", "text": "from outside"}) == ["ok"]
    assert [heard[peer].next()[0]["text"] for peer in (a, b)] == ["from outside"] * 2

    assert b.call("leave", "red") == [[]]
    assert left.next() == [{"room": "red", "id": b.sid()}]
    a.call("room message", {"room": "red", "text": "to nobody"})
    for peer in (a, b, c):
        peer.call("echo")
    assert [heard[peer].waiting() for peer in (a, b, c)] == [0, 0, 0]


def test_broadcast_reaches_everybody_else(open_peer: Open) -> None:
    a, b, c = open_peer(), open_peer(), open_peer()
    alone(a, 3)
    heard = [peer.events("news") for peer in (a, b, c)]
    assert a.call("broadcast", "news", 1, {"data": b"\x01\x02"}) == [2]
    assert [heard[index].next() for index in (1, 2)] == [[1, {"data": b"\x01\x02"}]] * 2
    assert a.call("echo", 1) == [1]
    assert heard[0].waiting() == 0


def test_a_chat_message_reaches_everybody(open_peer: Open) -> None:
    a, b = open_peer(), open_peer()
    heard = [peer.events("chat message") for peer in (a, b)]
    assert a.call("chat message", "hello 😀") == ["ok"]
    messages = [events.next() for events in heard]
    assert messages[0] == messages[1]
    [message] = messages[0]
    assert (message["from"], message["text"]) == (a.sid(), "hello 😀")
    assert message["at"] > 1.6e12


@pytest.mark.usefixtures("many_packets")
def test_numbered_events_stay_in_order(open_peer: Open, kind: str) -> None:
    peer = open_peer()
    count = 1_000
    echo = peer.events("echo")
    for number in range(count):
        peer.emit("echo", number)
    numbers = [number for [number] in echo.take(count)]
    # The blocking client starts a thread for every message that it receives, so its handlers may overtake each other.
    assert (numbers if kind == "async" else sorted(numbers)) == list(range(count))


def test_events_behind_one_that_waits(open_peer: Open) -> None:
    peer = open_peer()
    echo = peer.events("echo")
    peer.emit("sleep", 200)
    peer.emit("echo", "behind")
    assert peer.call("sleep", 1) == ["slept"]
    assert echo.next() == ["behind"]


def test_a_failing_handler_costs_its_event_only(open_peer: Open) -> None:
    peer = open_peer()
    [answer] = peer.call("fail")
    assert answer["error"]["code"] == "internal"
    peer.emit("fail")
    peer.emit("nobody handles this", 1, b"x")
    assert peer.call("echo", "still here") == ["still here"]


def test_private_accepts_the_token(open_peer: Open) -> None:
    peer = open_peer(namespaces=["/private"], auth=TOKEN)
    assert peer.call("echo", "x", b"\x01", namespace="/private") == ["x", b"\x01"]
    assert peer.call("whoami", namespace="/private") == [TOKEN]


@pytest.mark.parametrize("auth", [{"token": "wrong"}, None])
def test_private_refuses_with_data(new: Open, served: tuple[Server, str], auth: dict | None) -> None:
    peer = new()
    refused = peer.events("connect_error", namespace="/private")
    with pytest.raises(socketio.exceptions.ConnectionError):
        peer.connect(served[0].url, namespaces=["/private"], auth=auth)
    [error] = refused.next()
    assert error["message"] == "not authorized"
    assert error["data"] == {"code": 401, "hint": 'auth must be {token: "kokanee"}'}


def test_an_unknown_namespace_is_refused(new: Open, served: tuple[Server, str]) -> None:
    peer = new()
    refused = peer.events("connect_error", namespace="/nowhere")
    with pytest.raises(socketio.exceptions.ConnectionError):
        peer.connect(served[0].url, namespaces=["/", "/nowhere"])
    assert refused.next()[0]["message"] == "Invalid namespace"


@pytest.mark.usefixtures("many_packets")
def test_two_namespaces_share_one_connection(open_peer: Open) -> None:
    peer = open_peer(namespaces=["/", "/private"], auth=TOKEN)
    here, there = peer.events("echo"), peer.events("echo", namespace="/private")
    for number in range(20):
        peer.emit("echo", number, namespace="/private" if number % 2 else "/")
    assert sorted(number for [number] in here.take(10)) == list(range(0, 20, 2))
    assert sorted(number for [number] in there.take(10)) == list(range(1, 20, 2))


def test_disconnect_by_the_server_leaves_the_other_namespace(open_peer: Open) -> None:
    peer = open_peer(namespaces=["/", "/private"], auth=TOKEN)
    gone = peer.events("disconnect")
    peer.emit("disconnect me", False)
    assert gone.next() == [socketio.Client.reason.SERVER_DISCONNECT]
    assert peer.call("echo", "still here", namespace="/private") == ["still here"]


def test_disconnect_and_close_by_the_server(open_peer: Open) -> None:
    peer = open_peer(namespaces=["/", "/private"], auth=TOKEN)
    gone = [peer.events("disconnect"), peer.events("disconnect", namespace="/private")]
    peer.emit("disconnect me", True)
    assert [events.next() for events in gone] == [[socketio.Client.reason.SERVER_DISCONNECT]] * 2


def test_disconnect_by_the_client_is_seen(open_peer: Open) -> None:
    a, b = open_peer(), open_peer()
    alone(a, 2)
    gone = b.events("disconnect")
    b.close()
    assert gone.next() == [socketio.Client.reason.CLIENT_DISCONNECT]
    alone(a, 1)


def test_heartbeats_keep_the_connection(make: Open) -> None:
    with Server("--ping-interval", "300ms", "--ping-timeout", "10s") as server:
        peer = make().connect(server.url)
        gone = peer.events("disconnect")
        assert peer.call("sleep", 1_500) == ["slept"]
        assert peer.call("echo", 1) == [1]
        assert gone.waiting() == 0


def test_a_server_that_stands_still_is_noticed(make: Open) -> None:
    with Server("--ping-interval", "300ms", "--ping-timeout", "200ms") as server:
        peer = make()
        gone = peer.events("disconnect")
        peer.connect(server.url)
        server.suspend()
        gone.next(3 * LIMIT)


def test_the_client_reconnects_after_a_restart(make: Open) -> None:
    port = free_port()
    # Without the random part, which may come out as no delay at all: a client that reconnects before it has cleared
    # away its old connection loses the new one.
    peer = make(reconnection=True, reconnection_delay=0.2, reconnection_delay_max=0.2, randomization_factor=0)
    gone, welcome = peer.events("disconnect"), peer.events("welcome")
    with Server(port=port) as server:
        peer.connect(server.url)
        first = welcome.next()[0]["id"]
        # Not `stop`: a close packet in a polling answer, as an orderly end sends it, keeps this client from reconnecting.
        server.kill()
    gone.next()
    with Server(port=port):
        assert welcome.next(3 * LIMIT)[0]["id"] != first
        assert peer.call("echo", "again") == ["again"]
