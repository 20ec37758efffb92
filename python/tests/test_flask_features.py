"""What the extension for Flask adds to Flask-SocketIO, with a published client and sessions of Flask-Session, on each kind of host."""

from __future__ import annotations

import http.cookiejar
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import LIMIT, Program, grouped, program, until

for name in ("flask", "flask_session", "cachelib"):
    pytest.importorskip(name)

from socketio import Client

BIN = Path(sys.executable).parent
#: The command for each host, and `$HOST` of the program.
HOSTS = {
    "own": (["flask_features.py"], "own"),
    "serve": ([sys.executable, "-m", "kokanee", "serve", "flask_features:app", "--port", "{port}"], "own"),
    "eventlet": (["flask_features.py"], "eventlet"),
    "gevent": (["flask_features.py"], "gevent"),
    "werkzeug": (["flask_features.py"], "werkzeug"),
    "waitress": (["flask_features.py"], "waitress"),
    "gunicorn": ([str(BIN / "gunicorn"), "-b", "127.0.0.1:{port}", "--threads=4", "-w", "2", "flask_features:app"], "own"),
    "uwsgi": (
        [
            *(str(BIN / "uwsgi"), "--http-socket=127.0.0.1:{port}", "--master", "--die-on-term", "--need-app"),
            *("--enable-threads", "--threads=4", f"--virtualenv={sys.prefix}", "--module=flask_features:app"),
        ],
        "own",
    ),
}
if not (BIN / "uwsgi").exists():
    del HOSTS["uwsgi"]


class Browser:
    """Fetches pages of one application, and opens connections with their cookies."""

    def __init__(self, server: Program, prefix: str = "") -> None:
        self._address = f"http://127.0.0.1:{server.port}"
        self._prefix = prefix
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        self._clients: list[Client] = []
        #: The events that came, by name.
        self.received: list[tuple[Any, ...]] = []

    def get(self, path: str) -> str:
        with self._opener.open(self._address + self._prefix + path, timeout=LIMIT) as answer:
            text: str = answer.read().decode()
            return text

    def connect(
        self, *namespaces: str, auth: Any = None, transport: str = "websocket", refused: list[Any] | None = None
    ) -> Client:
        client = Client(reconnection=False)
        self._clients.append(client)
        if refused is not None:
            client.on("connect_error", refused.append)
        for namespace in namespaces or ("/",):
            client.on("*", lambda *args: self.received.append(args), namespace=namespace)
        cookies = "; ".join(f"{each.name}={each.value}" for each in self._jar)
        client.connect(
            self._address, {"Cookie": cookies} if cookies else {}, auth=auth, transports=[transport],
            namespaces=list(namespaces) or None, socketio_path=f"{self._prefix}/live/socket.io",
            # It would wait on after a refusal.
            wait=refused is None, wait_timeout=LIMIT,
        )  # fmt: skip
        return client

    def close(self) -> None:
        for client in self._clients:
            client.disconnect()


@pytest.fixture(params=grouped(HOSTS, seldom=["serve", "waitress", "werkzeug", "uwsgi"]))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Program]]:
    command, host = HOSTS[request.param]
    with program(*command, HOST=host, SESSIONS=str(tmp_path / "sessions")) as running:
        yield request.param, running


def test_all_of_it_works_with_a_published_client(server: tuple[str, Program]) -> None:
    name, running = server
    one, two, stranger = Browser(running), Browser(running), Browser(running, "/office")
    try:
        check_events(one, two)
        check_sessions(one)
        check_blueprints(one)
        if name not in ("gevent", "eventlet"):
            client = one.connect()
            assert client.call("later", 5, timeout=LIMIT) == [5, True, "main"]
            until(lambda: ("back", 5) in one.received)
            assert one.get("/get") == "5"
        check_applications(one, stranger)
        assert two.get("/stop") == "stopping"
        assert running.process.wait(LIMIT) == 0
    finally:
        for browser in (one, two, stranger):
            browser.close()


def check_events(one: Browser, two: Browser) -> None:
    refused: list[Any] = []
    one.connect(auth={"bad": True}, refused=refused)
    assert until(lambda: refused) == [{"message": "bad auth", "data": {"code": 7}}]
    client, other = one.connect(auth={"a": 1}), two.connect(transport="polling")
    assert client.call("ask", (1, "two"), timeout=LIMIT) == ["hooked", "before ask", 1, "two", "main"]
    assert client.call("ask", "closed", timeout=LIMIT) == "closed"
    assert client.call("unknown", (1, 2), timeout=LIMIT) == ["other", "unknown", 1, 2]
    client.call("emits", timeout=LIMIT)
    until(lambda: ("all too", 1) in one.received and ("all too", 1) in two.received)
    assert one.received == [("one", 1), ("three", 1, [2], b"3"), ("tuple", 1, 2), ("all", "a", "b"), ("all too", 1)]
    assert two.received == [("all", "a", "b"), ("others", "c"), ("all too", 1)]
    assert client.call("enter", "tea", timeout=LIMIT) == (1, True, True)
    assert other.call("enter", "tea", timeout=LIMIT)[1:] == (True, True)
    assert client.call("leave", "tea", timeout=LIMIT) in (0, 1)
    assert client.call("fail", "no tea", timeout=LIMIT) == "fail: no tea"
    anywhere = one.connect("/anywhere")
    assert anywhere.call("any", (1, {"a": b"2"}), namespace="/anywhere", timeout=LIMIT) == ["/anywhere", "any", 1, {"a": b"2"}]
    until(lambda: ("heard", "any", 1, {"a": b"2"}) in one.received)
    other.emit("bye")
    until(lambda: not other.connected)


def check_sessions(one: Browser) -> None:
    one.get("/set/tea")
    client = one.connect()
    assert client.call("get", timeout=LIMIT) == "tea"
    one.get("/set/milk")
    assert client.call("get", timeout=LIMIT) == "milk"
    client.call("put", "juice", timeout=LIMIT)
    assert one.get("/get") == "juice"


def check_blueprints(one: Browser) -> None:
    client = one.connect("/chat", "/chat/room")
    said = client.call("say", "tea", namespace="/chat", timeout=LIMIT)
    assert said == ["hooked", "before say", "chat", "tea", "after chat", "main"]
    asked = client.call("ask", 1, namespace="/chat/room", timeout=LIMIT)
    assert asked == ["hooked", "before ask", "chat", 1, "/chat/room", "after chat", "main"]
    until(lambda: any(each[0] == "welcome" and each[2] == "/chat/room" for each in one.received))


def check_applications(one: Browser, stranger: Browser) -> None:
    client = stranger.connect()
    assert client.call("ask", 1, timeout=LIMIT) == ["hooked", "before ask", 1, "office"]
    for browser, name in ((one, "main"), (stranger, "office")):
        browser.received.clear()
        browser.get("/announce/tea")
        until(lambda: ("announced", name, "tea") in browser.received)
    assert all(each[:2] != ("announced", "office") for each in one.received)
    assert all(each[:2] != ("announced", "main") for each in stranger.received)
