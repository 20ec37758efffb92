"""Servers that accept a client and then stall, or write noise: the client finds out in time, and a call that waits ends with the reason."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from client_observing import KINDS
from hostile import Answer, either, hostile, polling, websocket
from support import result


def opens(interval: int = 25_000, upgrades: bool = False) -> str:
    facts = {"sid": "a", "upgrades": ["websocket"] if upgrades else [], "pingInterval": interval, "pingTimeout": interval}
    return "0" + json.dumps({**facts, "maxPayload": 1_000_000})


ACCEPTS = '40{"sid":"b"}'
NOISE = bytes(range(1, 256)) * 50
#: A session that ends if nothing comes for 400 ms.
SOON = opens(200)
BINARY = '451-["x",{"_placeholder":true,"num":0}]'
#: What a call raises whose connection ends, and one that comes after it.
LOST, GONE = ["TimeoutError", "socket has been disconnected"], ["BadNamespaceError", "/ is not a connected namespace."]
#: The transports, the server, and how the engine calls the end. One that is deaf says nothing more, and stays.
CASES: dict[str, tuple[str, Answer, str | None]] = {
    "deaf over websocket": ("websocket", websocket(opens(), ACCEPTS), None),
    "deaf over polling": ("polling", polling(opens(), ACCEPTS), None),
    "deaf, does not upgrade": ("polling,websocket", polling(opens(upgrades=True), ACCEPTS), None),
    "deaf, upgrades with noise": (
        "polling,websocket",
        either(websocket(NOISE), polling(opens(upgrades=True), ACCEPTS)),
        None,
    ),
    "silent over websocket": ("websocket", websocket(SOON, ACCEPTS), "ping timeout"),
    "silent over polling": ("polling", polling(SOON, ACCEPTS), "ping timeout"),
    "half a frame": ("websocket", websocket(SOON, ACCEPTS, b"\x81\x7e\x10\x00" + b"42"), "ping timeout"),
    "an attachment that never comes": ("websocket", websocket(SOON, ACCEPTS, BINARY), "ping timeout"),
    "an attachment that never comes, over polling": ("polling", polling(SOON, ACCEPTS, BINARY), "ping timeout"),
    "noise over websocket": ("websocket", websocket(opens(), ACCEPTS, NOISE), "transport error"),
    "noise over polling": ("polling", polling(opens(), ACCEPTS, NOISE), "parse error"),
    "a page over polling": ("polling", polling(opens(), ACCEPTS, "<html></html>"), "parse error"),
    "no payload at all": ("polling", polling(opens(), ACCEPTS, ""), "parse error"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_has_accepted_a_client_cannot_hold_it(kind: str) -> None:
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        arguments = [
            f"{name}={transports}={stack.enter_context(hostile(answer))}" for name, (transports, answer, _) in CASES.items()
        ]

        def use(some: list[str]) -> Any:
            return result("client_stalls.py", *some, PACKAGE="kokanee", KIND=kind)

        # Each program waits for most of its time.
        programs = list(pool.map(use, [arguments[start::4] for start in range(4)]))
    seen = {name: each for found in programs for name, each in found["seen"].items()}
    for name, (transports, _, detail) in CASES.items():
        check(name, seen[name]["usual"], seen[name]["simple"], detail)
        # A server that does not upgrade is used as it is.
        assert seen[name]["usual"]["transport"] == transports.split(",")[0] or detail
    for found in programs:
        assert found["threads"] == ["MainThread"]
        assert found["megabytes"] < 100


def check(name: str, usual: dict[str, Any], simple: dict[str, Any], detail: str | None) -> None:
    assert (usual["error"], simple["error"]) == (None, None), (name, usual, simple)
    assert usual["after"] == [False, {}, None] and simple["after"] == [False, None], name
    if detail is None:
        assert usual["reasons"] == [["client disconnect", "io client disconnect"]], (name, usual)
        assert [each[0] for each in (usual["call"], simple["call"], simple["receive"])] == ["TimeoutError"] * 3, name
    else:
        assert usual["reasons"] == [["transport error", detail]], (name, usual)
        # Those who wait learn of the end, not of their own time.
        assert usual["call"] in (LOST, GONE), (name, usual)
        assert [simple["call"][0], simple["receive"][0]] == ["DisconnectedError"] * 2, (name, simple)
