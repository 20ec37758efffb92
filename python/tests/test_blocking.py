"""A handler that blocks holds up nothing: not its client's heartbeat, no other client, no shutdown."""

from __future__ import annotations

import json
import threading
import time

import pytest
import wsgi_hosts
from asgi_hosts import TAKE_OVER
from kokanee import _modes, _pool
from observing import serve
from raw import websocket
from support import LIMIT, program, until

QUICK = "{'ping_interval': 0.3, 'ping_timeout': 3}"
MODES = ["werkzeug", "gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "eventlet", "gevent"]


def receive(client, start: str) -> str:
    """Returns the next packet that begins like this, and answers pings meanwhile."""
    for _ in range(1000):
        packet = client.recv()
        assert packet, "the connection was closed"
        if packet == "2":
            client.send("3")
        if packet.startswith(start):
            return packet
    raise AssertionError(f"no packet {start!r}")


@pytest.mark.parametrize("name", MODES)
def test_heartbeats_and_other_clients_go_on(name: str) -> None:
    with wsgi_hosts.host(name, OPTIONS=QUICK) as server:
        blocked, other = websocket(server.port), websocket(server.port)
        blocked.send('421["block"]')
        server.wait_for("blocked")
        # Three heartbeats of the blocked client.
        for _ in range(3):
            assert blocked.recv() == "2"
            blocked.send("3")
        other.send('422["echo","hello"]')
        assert receive(other, "432") == '432["hello"]'
        # Also other events of the same client.
        blocked.send('423["echo","same"]')
        assert receive(blocked, "433") == '433["same"]'
        other.send('42["release"]')
        assert receive(blocked, "431") == '431["released"]'
        blocked.close()
        other.close()


@pytest.mark.parametrize("name", ["werkzeug", "gunicorn-gthread"])
def test_many_blocked_handlers_get_threads_and_give_them_back(name: str) -> None:
    with wsgi_hosts.host(name, IDLE="0.3") as server:
        client = websocket(server.port)
        for number in range(60):
            client.send(f'42{100 + number}["block"]')
        began = time.monotonic()
        client.send('421["threads"]')
        count = json.loads(receive(client, "431")[3:])[0]
        # Not one after the other.
        assert time.monotonic() - began < 10
        assert 60 < count <= 130
        client.send('42["release"]')
        released = {receive(client, "431")[2:5] for _ in range(60)}
        assert len(released) == 60

        def threads() -> int:
            client.send('421["threads"]')
            return int(json.loads(receive(client, "431")[3:])[0])

        # A call keeps a thread, so that a pause is longer than idle ones stay.
        until(lambda: threads() <= 3, pause=0.5)
        client.close()


@pytest.mark.parametrize("name", ["gunicorn-gthread", "eventlet", "gunicorn-gevent"])
def test_without_async_handlers_each_client_is_served_in_order(name: str) -> None:
    with wsgi_hosts.host(name, OPTIONS="{'async_handlers': False}") as server:
        clients = [websocket(server.port) for _ in range(3)]
        for number in range(40):
            for client in clients:
                client.send(f'42["numbers",{number}]')
        for client in clients:
            seen = [json.loads(receive(client, '42["number"')[2:])[1] for _ in range(40)]
            assert seen == list(range(40))
        # A client whose handler blocks does not hold up the others.
        clients[0].send('421["block"]')
        server.wait_for("blocked")
        clients[1].send('422["echo",1]')
        assert receive(clients[1], "432") == "432[1]"
        clients[1].send('42["release"]')
        assert receive(clients[0], "431") == '431["released"]'


@pytest.mark.parametrize("name", ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent"])
def test_a_blocked_handler_does_not_hold_up_the_end(name: str) -> None:
    with wsgi_hosts.host(name) as server:
        client = websocket(server.port)
        client.send('421["block"]')
        server.wait_for("blocked")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 12
        # The client got a DISCONNECT.
        closed = threading.Thread(target=lambda: client.recv(), daemon=True)
        closed.start()
        closed.join(LIMIT)
        assert not closed.is_alive()


def test_a_coroutine_that_blocks_its_loop_stops_no_heartbeat_of_connections_that_are_taken_over() -> None:
    command, _, _ = TAKE_OVER["class"]
    with program(*command, OPTIONS="{'ping_interval': 0.3, 'ping_timeout': 2}") as server:
        clients = [websocket(server.port) for _ in range(2)]
        for client in clients:
            assert receive(client, "42").startswith('42["welcome"')
        clients[0].send('421["block",5]')
        server.wait_for("blocked")
        # While the loop stands: longer than interval and timeout together.
        for _ in range(10):
            for client in clients:
                assert client.recv() == "2"
                client.send("3")
        assert receive(clients[0], "431") == '431["released"]'
        clients[1].send('422["one",1]')
        assert receive(clients[1], "432") == "432[1]"


@pytest.mark.parametrize("name", ["uvicorn-sansio", "hypercorn", "daphne", "granian", "aiohttp", "tornado"])
def test_a_coroutine_that_waits_holds_up_nothing(name: str) -> None:
    with serve(name, OPTIONS=QUICK) as server:
        waiting, other = websocket(server.port), websocket(server.port)
        waiting.send('421["wait",30]')
        server.wait_for("waits")
        for number in range(3):
            assert receive(waiting, "2") == "2"
            other.send(f'422["one",{number}]')
            assert receive(other, "432") == f"432[{number}]"
        # Also the end of the host.
        began = time.monotonic()
        assert server.stop() in (0, -15)
        assert time.monotonic() - began < 12


@pytest.mark.full
@pytest.mark.parametrize("name", ["werkzeug", "gunicorn-gevent"])
def test_a_handler_that_blocks_for_half_a_minute(name: str) -> None:
    """With the pings of a real application."""
    with wsgi_hosts.host(name, OPTIONS="{'ping_interval': 5, 'ping_timeout': 5}") as server:
        blocked, other = websocket(server.port), websocket(server.port)
        for client in (blocked, other):
            client.settimeout(2 * LIMIT)
        blocked.send('421["block"]')
        server.wait_for("blocked")
        began = time.monotonic()
        while time.monotonic() - began < 29:
            assert blocked.recv() == other.recv() == "2"
            for client in (blocked, other):
                client.send("3")
            other.send('422["echo","hello"]')
            assert receive(other, "432") == '432["hello"]'
        other.send('42["release"]')
        assert receive(blocked, "431") == '431["released"]'


class Closed:
    """Stands for an engine that was closed."""

    def wait_event(self, seconds: float) -> None:
        return None

    def wait_busy(self, seconds: float) -> int:
        return 0

    def is_closed(self) -> bool:
        return True


def test_handlers_of_what_a_closed_engine_still_had_run() -> None:
    mode = _modes.Threading()
    released = threading.Event()
    handled = []

    def handle(event) -> None:
        released.wait(LIMIT if event[0] == 0 else 0)
        handled.append(event[0])

    engine = Closed()
    mode.take_rest([(number,) for number in range(100)], handle, engine)
    mode.take_rest([(number,) for number in range(100, 200)], handle, engine)
    until(lambda: len(handled) == 199)
    released.set()
    until(lambda: len(handled) == 200 and not mode.thread_count)


class Slow(threading.Thread):
    """A thread that the system starts late, or does not start."""

    begins = threading.Event()
    starts: float | None = 0.2

    def start(self) -> None:
        self.begins.set()
        if self.starts is None:
            raise RuntimeError("can't start new thread")
        time.sleep(self.starts)
        super().start()


@pytest.mark.parametrize("starts", [0.2, None])
def test_threads_that_have_not_started_are_not_waited_for(starts: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = _pool.Pool("test", 4)
    engine = Closed()
    events = _modes._Events(engine, print, engine.wait_event)
    adding = threading.Thread(target=pool.grow, args=(1, events))
    monkeypatch.setattr(Slow, "starts", starts)
    monkeypatch.setattr(threading, "Thread", Slow)
    Slow.begins.clear()
    adding.start()
    assert Slow.begins.wait(LIMIT)
    pool.join(LIMIT)
    assert not len(pool)
    adding.join()


def test_a_supervisor_that_has_not_started_is_not_waited_for(monkeypatch) -> None:
    mode = _modes.Threading()
    monkeypatch.setattr(threading, "Thread", Slow)
    monkeypatch.setattr(Slow, "starts", None)
    with pytest.raises(RuntimeError):
        mode.start(Closed(), print)
    mode.join(1)
