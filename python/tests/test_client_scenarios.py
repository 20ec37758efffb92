"""Programs of clients under python-socketio and under this package: handlers see the same, and so does the server.

The scenarios are in `programs/client_scenarios.py`: connecting, namespaces, refusals, events, answers both ways, handlers of all
sorts, ends. Each runs with the blocking client and with that of asyncio.
"""

from __future__ import annotations

import pytest
from client_observing import Observed, combined, observe, published, serve

#: Those whose result depends on the transport.
BY_TRANSPORT = {"state_before_while_and_after"}


def compare(theirs: Observed, ours: Observed) -> None:
    assert ours.keys() == theirs.keys()
    differing = {}
    for name, value in ours.items():
        expected = theirs[name]
        assert "raised" not in expected["client"], (name, expected)
        if value != expected:
            differing[name] = {"expected": expected, "seen": value}
    assert not differing


@combined([("sync", "websocket"), ("async", "websocket")], ["websocket"], is_grouped=True)
def test_clients_and_server_see_the_same(kind: str, transports: str) -> None:
    with serve() as server:
        compare(published(kind, transports), observe(server, "kokanee", kind, transports))


@combined([("sync", "polling"), ("async", "polling,websocket")], ["polling", "polling,websocket"], is_grouped=True)
def test_they_see_the_same_on_each_transport(kind: str, transports: str) -> None:
    with serve() as server:
        ours = observe(server, "kokanee", kind, transports)
    expected = published(kind, "websocket")
    names = expected.keys() - BY_TRANSPORT
    compare({name: expected[name] for name in names}, {name: ours[name] for name in names})
    begin = transports.split(",")[-1]
    assert ours["state_before_while_and_after"]["client"]["transport"] == [begin, begin]


@pytest.mark.xdist_group("client scenarios sync")
@pytest.mark.parametrize("patch", ["gevent", pytest.param("eventlet", marks=pytest.mark.full)])
def test_a_patched_process_sees_the_same(patch: str) -> None:
    with serve() as server:
        ours = observe(server, "kokanee", "sync", "websocket", PATCH=patch)
    compare(published("sync", "websocket"), ours)


@combined([], ["polling,websocket"], is_grouped=True)
def test_the_published_clients_see_the_same_after_an_upgrade(kind: str, transports: str) -> None:
    with serve() as server:
        compare(published(kind, transports), observe(server, "kokanee", kind, transports))
