"""Nothing stays of clients that have left, however they did: no room, thread, descriptor, object or memory.

By default 1,000 clients come and go on each host, 10,000 with `--full`; at most 1,000 at a time, which is seconds of load.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import asgi_hosts
import pytest
import socketio
import websocket
import wsgi_hosts
from raw import PATH, Poller
from support import LIMIT, Program, program, until

#: What a client sends, and whether it ends its connection properly.
LIVES: list[tuple[list[str], bool]] = [
    (["40", '421["enter","a room"]', '422["session",{"a":"b"}]', "41"], True),
    (["40", '42["chatter",20]'], False),
    (["40", '42["raise"]'], True),
    (["40", '421["cancelled"]'], False),
    (["40", '42["leave"]'], True),
    (["40", '42["ask"]'], False),
    (["40", '42["session",{"raise":true}]'], True),
    (["40", "40/two,", '42/two,["known"]'], True),
    (['40{"do":"false"}'], True),
    (['40{"do":"raise"}'], False),
    (['40{"do":"cancel"}'], True),
    (['40{"do":"disconnect"}'], False),
    (['40{"do":"emit"}'], False),
]
ROUND = 1_000
#: Some clients that poll just stay away, until a ping has no answer.
QUICK_PINGS = "{'ping_interval': 1, 'ping_timeout': 3}"
#: How long idle threads stay, in seconds.
IDLE = "0.3"
HOSTS = [
    "werkzeug",
    pytest.param("gunicorn-gthread", marks=pytest.mark.full),
    "gunicorn-gevent",
    "eventlet-patched",
    "uvicorn-fed",
    "uvicorn-taken",
]


@contextlib.contextmanager
def serve(host: str) -> Iterator[Program]:
    environment = {"OPTIONS": QUICK_PINGS, "IDLE": IDLE}
    if host.startswith("uvicorn"):
        kind = "kokanee.uvicorn:WebSocketProtocol" if host == "uvicorn-taken" else "websockets-sansio"
        command = asgi_hosts.uvicorn(f"--ws={kind}", app="semantics:app")
        with program(*command, KIND="async", **environment) as running:
            yield running
    else:
        with wsgi_hosts.host(host, "semantics", KIND="sync", **environment) as running:
            yield running


def live(port: int, number: int) -> None:
    """Is a client: joins, does something, and leaves."""
    packets, ends_properly = LIVES[number % len(LIVES)]
    if number % 7 == 0:
        poller = Poller(port)
        poller.post("\x1e".join(packets))
        if ends_properly:
            poller.post("1")
        return
    client = websocket.create_connection(f"ws://127.0.0.1:{port}{PATH}websocket", timeout=LIMIT)
    assert client.recv().startswith("0")
    client.send(packets[0])
    if len(packets) > 1:
        while (packet := client.recv()) == "2":
            client.send("3")
        assert packet.startswith("40"), packet
    for packet in packets[1:]:
        client.send(packet)
    if ends_properly:
        client.send("1")
    client.sock.close()


def come_and_go(port: int, count: int) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(live, port, number) for number in range(count)]:
            done.result()


def usage_of(watcher: Any) -> dict[str, int]:
    """Returns what the process holds when the watcher is its only client and nothing is left to do."""

    def others() -> dict[str, Any]:
        state = watcher.call("state", timeout=LIMIT)
        counts = {name: state[name] for name in ("clients", "environs", "sockets")}
        rooms = {namespace: len(state["rooms"][namespace]) for namespace in state["rooms"]}
        calls = state["counts"].get("asked", 0) - state["counts"].get("not answered", 0)
        return {**counts, "sessions": state["sessions"], "rooms": rooms, "calls": calls}

    # Its own room, and that of all.
    alone = {"clients": 1, "environs": 1, "sockets": 1, "sessions": 0, "rooms": {"/": 2}, "calls": 0}
    with contextlib.suppress(AssertionError):
        until(lambda: others() == alone)
    assert others() == alone
    threads = 0

    def is_calm() -> bool:
        nonlocal threads
        before, threads = threads, watcher.call("usage", timeout=LIMIT)["threads"]
        return before == threads

    # Each call keeps a thread, so that a pause is longer than idle threads stay.
    until(is_calm, pause=3 * float(IDLE))
    usage: dict[str, int] = watcher.call("usage", timeout=LIMIT)
    return usage


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_grows_while_clients_come_and_go(host: str, request: pytest.FixtureRequest) -> None:
    rounds = 10 if request.config.getoption("--full") else 1
    with serve(host) as server, contextlib.ExitStack() as stack:
        watcher = socketio.Client(reconnection=False)
        watcher.connect(f"http://127.0.0.1:{server.port}", transports=["websocket"], wait_timeout=LIMIT)
        stack.callback(watcher.disconnect)
        # What is made once, and what allocators keep.
        come_and_go(server.port, ROUND // 2)
        before = usage_of(watcher)
        for _ in range(rounds):
            come_and_go(server.port, ROUND)
            after = usage_of(watcher)
        grown = {name: after[name] - before[name] for name in after}
        print(json.dumps({"before": before, "grown": grown}))
        assert grown["threads"] <= 0 and grown["descriptors"] <= 0, grown
        assert after["callbacks"] == 0
        # Far less than one for each client.
        assert grown["objects"] < 150 + 20 * rounds, grown
        assert grown["blocks"] < 1_500 + 200 * rounds, grown
        # A client that stays costs 20 KiB and more.
        assert grown["kilobytes"] < 2_000 + 200 * rounds, grown
