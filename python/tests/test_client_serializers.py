"""MessagePack, modules for JSON and classes of packets: clients see what python-socketio's see, and use what they are given."""

from __future__ import annotations

import pytest
from client_observing import left, serve
from support import result, until

SELDOM = pytest.mark.full


@pytest.mark.parametrize(
    ("how", "used", "kind"),
    [
        pytest.param("msgpack", [], "sync"),
        pytest.param("msgpack", [], "async", marks=SELDOM),
        pytest.param("json", ["dumps", "loads"], "sync", marks=SELDOM),
        pytest.param("json", ["dumps", "loads"], "async"),
        pytest.param("class", ["encode", "decode"], "sync"),
        pytest.param("class", ["encode", "decode"], "async", marks=SELDOM),
    ],
)
def test_serializers(how: str, used: list[str], kind: str) -> None:
    found = {}
    with serve(OPTIONS="{'serializer': 'msgpack'}" if how == "msgpack" else "{}") as server:
        for package in ("socketio", "kokanee"):
            url = f"http://127.0.0.1:{server.port}?scenario={how}"
            found[package] = result("client_serializers.py", url, how, PACKAGE=package, KIND=kind)
        until(lambda: left(server))
    assert found["kokanee"]["seen"] == found["socketio"]["seen"]
    assert found["kokanee"]["used"] == found["socketio"]["used"] == used
