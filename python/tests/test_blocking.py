"""A handler that blocks holds up nothing: not its client's heartbeat, no other client, no shutdown."""

from __future__ import annotations

import json
import threading
import time

import pytest
import wsgi_hosts
from raw import websocket

QUICK = "{'ping_interval': 0.3, 'ping_timeout': 3}"
MODES = ["werkzeug", "gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "eventlet", "gevent"]


def receive(client, start: str) -> str:
    """Returns the next packet that begins like this, and answers pings meanwhile."""
    for _ in range(1000):
        packet = client.recv()
        assert packet, "the connection was closed"
        if packet == "2":
            client.send("3")
        elif packet.startswith(start):
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
        assert time.monotonic() - began < 2
        assert 60 < count <= 130
        client.send('42["release"]')
        released = {receive(client, "431")[2:5] for _ in range(60)}
        assert len(released) == 60
        deadline = time.monotonic() + 10
        while count > 3 and time.monotonic() < deadline:
            client.send('421["threads"]')
            count = json.loads(receive(client, "431")[3:])[0]
            time.sleep(0.1)
        assert count <= 3
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
        assert server.stop(seconds=15) == 0
        assert time.monotonic() - began < 6
        # The client got a DISCONNECT.
        closed = threading.Thread(target=lambda: client.recv(), daemon=True)
        closed.start()
        closed.join(5)
        assert not closed.is_alive()
