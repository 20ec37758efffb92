"""The log of a server: the lines of python-socketio and python-engineio, in their words, and nothing of them when they are off."""

from __future__ import annotations

import logging
import re
import urllib.error
import urllib.request
from typing import Any

import kokanee
import pytest
import websocket
from kokanee import _access_log, _options
from support import Program, program

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


def lines_of(package: str, kind: str) -> list[str]:
    """Returns what a server logs about one client over a WebSocket, and where the ids are."""
    with program("logs.py", KIND=kind, PACKAGE=package) as server:
        url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
        one = websocket.create_connection(url, timeout=10)
        secret = re.search('"sid":"([^"]+)"', str(one.recv()))
        one.send('40{"token":1}')
        one.recv()
        one.send('451-7["ask",{"_placeholder":true,"num":0}]')
        one.send_binary(b"bytes")
        received = [one.recv() for _ in range(3)]
        number = re.search(r"51-(\d+)\[", str(received))
        assert number is not None
        one.send(f'43{number[1]}["yes"]')
        server.wait_for("received ack")
        one.send('42["bye"]')
        assert one.recv() == "41"
        # Its last line comes after what the client has read.
        server.wait_for("MESSAGE data 1")
        one.close()
        if package == "kokanee":
            assert secret is not None and secret[1] not in "\n".join(server.lines)
        return [named(line, number[1]) for line in server.lines]


def named(line: str, number: str) -> str:
    line = re.sub(r"[\w-]{20}", "ID", line.replace(f"data 51-{number}[", "data 51-N[").replace(f"data 3{number}[", "data 3N["))
    # The order of keys in the handshake.
    return re.sub("{'sid'.*}", lambda match: str(sorted(eval(match[0]).items())), line)


@KINDS
def test_the_lines_are_those_of_the_published_packages(kind: str) -> None:
    published = lines_of("socketio", kind)
    ours = lines_of("kokanee", kind)
    # What the two sides of a connection do at the same time may be in another order.
    assert sorted(ours) == sorted(published)


def test_what_the_root_logger_has_is_not_written_twice(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("socketio.test_of_two_handlers")
    made = _options.make_logger(True, logger)
    root, seen = logging.getLogger(), []
    before = root.handlers[:]
    other = logging.Handler()
    other.emit = seen.append  # type: ignore[method-assign]
    try:
        root.handlers[:] = [other]
        made.error("once")
        root.handlers[:] = []
        made.error("alone")
    finally:
        root.handlers[:] = before
    assert [record.getMessage() for record in seen] == ["once"]
    assert capsys.readouterr().err == "alone\n"


def test_a_refused_revision_is_said() -> None:
    with program("sizes.py", KIND="sync", OPTIONS="{}") as server:
        for _ in range(3):
            with pytest.raises(urllib.error.HTTPError, match="400"):
                urllib.request.urlopen(f"http://127.0.0.1:{server.port}/socket.io/?EIO=3&transport=polling")
        line = server.wait_for("WARNING kokanee a client speaks Engine.IO 3")
        assert "allow_eio3" in line
        assert server.output.count("Engine.IO 3") == 1


@KINDS
def test_packets_are_logged_with_the_public_id(kind: str) -> None:
    lines = lines_of("kokanee", kind)
    expected = [
        'ID: Received packet MESSAGE data 0{"token":1}',
        'ID: Sending packet MESSAGE data 0{"sid":"ID"}',
        'ID: Received packet MESSAGE data 51-7["ask",{"_placeholder":true,"num":0}]',
        "ID: Received packet MESSAGE data <binary>",
        'received event "ask" from ID [/]',
        "ID is entering room room [/]",
        'emitting event "back" to room [/]',
        "ID is leaving room room [/]",
        "room room is closing [/]",
        'ID: Sending packet MESSAGE data 51-N["back",{"_placeholder":true,"num":0}]',
        "ID: Sending packet MESSAGE data 37[1]",
        'ID: Received packet MESSAGE data 3N["yes"]',
        "received ack from ID [/]",
        'received event "bye" from ID [/]',
        "Disconnecting ID [/]",
        "ID: Sending packet MESSAGE data 1",
    ]
    assert [line for line in expected if line not in lines] == []
    back, answer = (lines.index(expected[number]) for number in (9, 10))
    assert back < answer


def test_loggers_of_the_application_are_used_as_they_are() -> None:
    mine = logging.getLogger("mine")
    mine.setLevel(logging.WARNING)
    sio = kokanee.Server(async_mode="threading", logger=mine, engineio_logger=mine)
    assert (sio.logger, sio.eio_logger, sio.eio.logger) == (mine, mine, mine)
    sio._prepare()
    assert sio._engine_dict["log_packets"] is False


def upgrade(server: Program) -> Any:
    import socketio

    one = socketio.Client(reconnection=False)
    one.connect(f"http://127.0.0.1:{server.port}", wait_timeout=10)
    return one


def test_an_upgrade_is_logged() -> None:
    with program("logs.py", KIND="sync", PACKAGE="kokanee") as server:
        one = upgrade(server)
        server.wait_for(": Received request to upgrade to websocket")
        server.wait_for(": Upgrade to websocket successful")
        one.disconnect()


@pytest.mark.parametrize(("query", "logged"), [
    ("", ""),
    ("a=sid&b=%73", "a=sid&b=%73"),
    ("EIO=4&sid=SECRET&t=1", "EIO=4&sid=-&t=1"),
    ("%73id=SECRET&sid=SEC%52ET&sids=x", "%73id=-&sid=-&sids=x"),
])  # fmt: skip
def test_the_access_log_has_no_id_of_a_session(query: str, logged: str) -> None:
    log = _access_log.AccessLog()
    target = f"/socket.io/?{query}" if query else "/socket.io/"
    environ = {"REMOTE_ADDR": "", "REQUEST_METHOD": "GET", "RAW_URI": target, "SERVER_PROTOCOL": "HTTP/1.1"}
    scope = {
        **{"headers": [], "client": None, "method": "GET", "http_version": "1.1"},
        **{"raw_path": b"/socket.io/", "query_string": query.encode()},
    }
    line = f"GET /socket.io/?{logged} HTTP/1.1" if logged else "GET /socket.io/ HTTP/1.1"
    assert log.head(environ)[1] == log.head_of_scope(scope)[1] == line
