"""What clients and handlers see of `matrix.py` and `async_matrix.py`: under Kokanee on a host, and under python-socketio."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import asgi_hosts
import wsgi_hosts
from support import Program, javascript_process, program, read_line, result, until

#: Those of the JavaScript clients, and those of the Python clients.
TRANSPORTS = ["polling", "websocket", "polling,websocket"]
SINGLE = ["polling", "websocket"]
OLD = "socket.io-client-v2"
#: How many clients the handlers see leave.
JAVASCRIPT_ENDS, PYTHON_ENDS, ASYNC_ENDS = 4, 3, 1
#: The Python client may lose the packet that ends its polling, which then waits for a ping.
QUICK_PINGS = "{'ping_interval': 1, 'ping_timeout': 20}"
#: What a host writes where it or the engine fails. The handler that fails is the program's.
FAILURES = ("Traceback", "panicked", "SIGPIPE", "never awaited", "never retrieved")
EXPECTED = "ValueError: expected by the test"

Observed = dict[str, Any]
Script = Callable[[int], contextlib.AbstractContextManager[Any]]


def observe(server: Program, script: Script, ends: int) -> Observed:
    """Runs a client, and returns what it saw and what the handlers saw of it."""
    begin = len(server.lines)

    def handlers() -> list[str]:
        # A host may be in the middle of a line of its log.
        lines = (line.partition("SEEN ") for line in server.lines[begin:])
        return [seen for _, mark, seen in lines if mark]

    with script(server.port) as seen:
        until(lambda: sum(line.startswith("disconnect") for line in handlers()) >= ends)
    return {"client": seen, "handlers": sorted(handlers())}


def matrix(transports: str, *client: str) -> Script:
    """Returns what runs the script of the JavaScript clients."""

    @contextlib.contextmanager
    def script(port: int) -> Iterator[Any]:
        # A poll that python-socketio leaves unanswered keeps the process alive after the client's end.
        with javascript_process("matrix.mjs", port, transports, *client) as process:
            yield json.loads(read_line(process))

    return script


def python_client(transports: str, is_async: bool) -> Script:
    """Returns what runs the script of a Python client: those of both kinds of servers differ."""
    script = "async_matrix_client.py" if is_async else "matrix_client.py"
    return lambda port: contextlib.nullcontext(result(script, str(port), transports))


def serve(host: str, port: int | None = None, **environment: str) -> Any:
    """Runs the program of a host."""
    if host in asgi_hosts.HOSTS:
        command, mode = asgi_hosts.HOSTS[host]
        return program(*command, port=port, MODE=mode, **environment)
    return wsgi_hosts.host(host, "matrix", port=port, **environment)


@functools.cache
def published(host: str, transports: str) -> Observed:
    """Returns what is seen under python-socketio on a host."""
    with serve(host, PACKAGE="socketio") as server:
        observed = observe(server, matrix(transports), JAVASCRIPT_ENDS)
        # A client may end its polling with a packet, without leaving its namespaces: as in JavaScript.
        ended = ("disconnect /class client disconnect", "disconnect /class transport close")
        handlers = [ended[1] if line == ended[0] else line for line in observed["handlers"]]
        return {**observed, "handlers": sorted(handlers)}


@functools.cache
def published_python(host: str, transports: str) -> Observed:
    """Returns what a Python client sees under python-socketio on a host."""
    is_async = host in asgi_hosts.HOSTS
    with serve(host, PACKAGE="socketio", OPTIONS=QUICK_PINGS) as server:
        ends = ASYNC_ENDS if is_async else PYTHON_ENDS
        return observe(server, python_client(transports, is_async), ends)


#: Where we decided to do otherwise: what the client sees, in both packages.
DIFFERENT: dict[str, Any] = {
    # The message of the JavaScript server; python-socketio sends a text that this client cannot read.
    "unknown namespace": (
        {"message": "", "data": "undefined"},
        {"message": "Invalid namespace", "data": "undefined"},
    ),
}


def compare(
    theirs: Observed, ours: Observed, has_empty_messages: bool = True, loses_last: bool = False
) -> None:
    """Asserts that both saw the same, except for what is decided, and for what the host does with messages."""
    assert theirs["client"].keys() == ours["client"].keys()
    for key, value in ours["client"].items():
        expected = theirs["client"][key]
        if key == "one" and not has_empty_messages:
            expected = expected[:-1]
        if key in DIFFERENT:
            assert (expected, value) == DIFFERENT[key], key
        else:
            assert value == expected, key
    assert reasons(ours["handlers"], loses_last) == reasons(theirs["handlers"], loses_last)


def reasons(handlers: list[str], loses_last: bool) -> list[str]:
    """Returns what handlers saw. If a client's last message may be lost, it may be the one that leaves the namespace."""
    if not loses_last:
        return handlers
    return sorted(line.replace("client disconnect", "transport close") for line in handlers)


def check(server: Program) -> None:
    """Asserts that nothing in the output of a server says that something has failed."""
    text = server.output
    unexpected = [word for word in FAILURES if word != "Traceback" and word in text]
    assert not unexpected, unexpected
    assert text.count("Traceback") == text.count(EXPECTED)
