"""Clients that come and go leave nothing behind: no memory, no descriptor, no thread, no object."""

from __future__ import annotations

import pytest
from client_observing import KINDS, left, serve
from support import result, until


def test_nothing_stays_of_namespaces_that_were_left() -> None:
    # One that stays would cost 1 KB.
    assert result("client_joins.py", "10000") < 2000


@pytest.mark.parametrize("count", [50, pytest.param(300, marks=pytest.mark.full)])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stays_of_clients_that_come_and_go(kind: str, count: int) -> None:
    with serve("kokanee") as server:
        url = f"http://127.0.0.1:{server.port}?scenario=churn"
        found = result("client_churn.py", url, str(count), seconds=300, PACKAGE="kokanee", KIND=kind, SECONDS="290")
        until(lambda: left(server))
    before, after = found["before"], found["after"]
    assert after["threads"] == 1
    # The last one may still be held by what has just ended.
    assert after["clients"] <= 2, found
    assert after["descriptors"] <= before["descriptors"] + 1, found
    assert after["tasks"] <= before["tasks"], found
    # 50 rounds of three kinds; a client that stays would cost 10 KiB or more.
    assert after["megabytes"] - before["megabytes"] < 4, found
