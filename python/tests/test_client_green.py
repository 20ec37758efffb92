"""Blocking clients in processes that gevent or eventlet has patched: they wait as greenlets do, and block nobody else."""

from __future__ import annotations

import pytest
from client_observing import left, serve
from support import result, until


@pytest.mark.parametrize("patch", ["gevent", pytest.param("eventlet", marks=pytest.mark.full)])
def test_clients_wait_as_greenlets_do(patch: str) -> None:
    with serve("kokanee") as server:
        url = f"http://127.0.0.1:{server.port}?scenario=green"
        found = result("client_green.py", url, PACKAGE="kokanee", PATCH=patch)
        until(lambda: left(server))
    assert found["answers"] == list(range(20))
    assert found["in order"]
    assert found["timed out"] == "TimeoutError"
    # One that blocks the hub lets none pass: fifty fit into the time on a machine with nothing else to do.
    assert found["ticks"] >= 5
    assert found["longest"] < 0.4
    # All greenlets of a thread share one.
    assert found["hubs"] == 1
