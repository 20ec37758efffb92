"""What clients of both kinds and both packages, and their server, see of the scenarios in `programs/client_scenarios.py`."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from support import Program, program, run, until

KINDS = ["sync", "async"]
TRANSPORTS = ["websocket", "polling", "polling,websocket"]
#: What each scenario's clients saw, and what the server saw of them.
Observed = dict[str, dict[str, Any]]


def combined(
    usual: Iterable[tuple[str, str]], transports: Sequence[str] = TRANSPORTS, is_grouped: bool = False
) -> Any:
    """Runs a test with both kinds on each transport: without `--full` only those that are usual."""
    usual = set(usual)
    cases = []
    for kind in KINDS:
        for transport in transports:
            marks = [] if (kind, transport) in usual else [pytest.mark.full]
            if is_grouped:
                # The tests of one kind share what the published client has seen.
                marks.append(pytest.mark.xdist_group(f"client scenarios {kind}"))
            cases.append(pytest.param(kind, transport, marks=marks))
    return pytest.mark.parametrize(("kind", "transports"), cases)


def serve(package: str = "socketio", **environment: str) -> Any:
    """Runs the server of the scenarios: under python-socketio, or under this package."""
    return program("client_server.py", PACKAGE=package, **environment)


def seen_by(server: Program, begin: int = 0) -> list[Any]:
    """Returns what a server has seen since a line of its output."""
    lines = (line.partition("SEEN ") for line in server.lines[begin:])
    return [json.loads(seen) for _, mark, seen in lines if mark]


def left(server: Program, begin: int = 0) -> bool:
    """Returns whether all clients have left."""
    kinds = [seen[1] for seen in seen_by(server, begin)]
    return kinds.count("connect") == kinds.count("disconnect")


def after_others(server: Program) -> int:
    """Waits until all clients have left, and returns the number of lines that the server has written: what comes next is of others."""
    until(lambda: left(server))
    return len(server.lines)


def observe(
    server: Program, package: str, kind: str, transports: str, *names: str, **environment: str
) -> Observed:
    """Runs the scenarios, or those that are named, under a package."""
    begin = after_others(server)
    done = run(
        *(sys.executable, "client_scenarios.py", str(server.port), transports, *names),
        seconds=120,
        PACKAGE=package,
        KIND=kind,
        **environment,
    )
    assert done.returncode == 0 and "END" in done.stdout, done.stdout[-2000:] + done.stderr[-8000:]
    until(lambda: left(server, begin))
    observed: Observed = {}
    for line in done.stdout.splitlines():
        if line.startswith("SAW "):
            name, client = json.loads(line[4:])
            observed[name] = {"client": client, "server": []}
    for name, *what in seen_by(server, begin):
        observed[name]["server"].append(ended(what))
    for each in observed.values():
        # Handlers of several namespaces and clients run side by side.
        each["server"].sort(key=str)
    return observed


def ended(what: list[Any]) -> list[Any]:
    """Returns what a server saw, where it is the same whether it heard the client's last words or not.

    python-socketio's client hangs up without waiting for them to be sent.
    """
    if what[0] == "disconnect" and what[2] in ("client disconnect", "transport close"):
        return [*what[:2], "by the client"]
    return what


@functools.cache
def published(kind: str, transports: str) -> Observed:
    """Returns what is seen with python-socketio's client.

    Not on polling, where its server leaves the last poll of a client unanswered, for which the client waits.
    """
    with serve() as server:
        return observe(server, "socketio", kind, transports)
