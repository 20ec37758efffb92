"""A server that floods: what a client cannot handle yet stays with the server, and pings that reach the client are answered."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_observing import KINDS
from client_watching import Watched, watched
from hostile import frame, hostile, websocket
from support import LIMIT, until

PAD = "x" * 1000
OPEN = "0" + json.dumps({"sid": "a", "upgrades": [], "pingInterval": 200, "pingTimeout": 30_000, "maxPayload": 1_000_000})

class Flood:
    """Has a handler block, and then sends events and pings as fast as the client takes them."""

    def __init__(self, count: int, go_on: Path) -> None:
        self.count = count
        #: The handler blocks until there is this file.
        self.go_on = go_on
        self.sent = self.pongs = 0
        self.ended = False

    def __call__(self, connection: socket.socket) -> None:
        threading.Thread(target=self._listen, args=[connection], daemon=True).start()
        connection.sendall(frame(f'42["hold","{self.go_on}"]'))
        next_ping = time.monotonic()
        while not self.ended:
            if time.monotonic() >= next_ping:
                connection.sendall(frame("2"))
                next_ping = time.monotonic() + 0.2
            if self.sent < self.count:
                connection.sendall(frame(f'42["tick",{self.sent},"{PAD}"]'))
                self.sent += 1
            else:
                time.sleep(0.02)

    def _listen(self, connection: socket.socket) -> None:
        """Counts the pongs: short frames whose text is masked."""
        unread = b""
        while read := connection.recv(65536):
            unread += read
            while len(unread) >= 6 and len(unread) >= (size := 6 + (unread[1] & 0x7F)):
                mask, text = unread[2:6], unread[6:size]
                self.pongs += bytes(byte ^ mask[index % 4] for index, byte in enumerate(text)) == b"3"
                unread = unread[size:]


def megabytes(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 1e6


@contextlib.contextmanager
def flooded(kind: str, flood: Flood) -> Iterator[Watched]:
    """Runs a client that a server floods, with one event handled at a time if it is a `Client`, and whose handler blocks."""
    options = "{'async_handlers': False}" if kind == "sync" else "{}"
    with (
        hostile(websocket(OPEN, '40{"sid":"b"}', then=flood)) as port,
        watched(port, "kokanee", kind, OPTIONS=options, CONNECT="{'transports': ['websocket']}") as client,
    ):
        client.wait_for("holds")
        yield client


@pytest.mark.parametrize("count", [30_000, pytest.param(100_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_client_cannot_handle_yet_stays_with_the_server(kind: str, count: int, tmp_path: Path) -> None:
    flood = Flood(count, tmp_path / "go on")
    with flooded(kind, flood) as client:
        process = client.program.process.pid
        before = megabytes(process)
        sent = -1
        while sent != flood.sent:
            # Until nothing more goes out.
            sent = flood.sent
            time.sleep(0.5)
        # The flood has more than 30 MB, of which most has not left the server.
        assert sent < count / 2
        assert megabytes(process) - before < 24
        flood.go_on.touch()
        until(lambda: client.ask("say('answer', len(numbers))")[0] >= count, seconds=4 * LIMIT, pause=0.2)
        assert client.ask(f"say('answer', numbers == list(range({count})))") == [True]
        # Heartbeats go on.
        pongs = flood.pongs
        until(lambda: flood.pongs >= pongs + 2)
        assert [event for event in client.events if event[0] in ("connect", "disconnect")] == [["connect"]]
        assert megabytes(process) - before < 48
        flood.ended = True


@pytest.mark.parametrize(("kind", "count"), [("sync", 1000), ("async", 4000)])
def test_pings_behind_many_events_are_answered_while_a_handler_blocks(kind: str, count: int, tmp_path: Path) -> None:
    # Not so many that the client stops reading.
    flood = Flood(count, tmp_path / "go on")
    with flooded(kind, flood) as client:
        until(lambda: flood.sent == count)
        pongs = flood.pongs
        until(lambda: flood.pongs >= pongs + 3)
        assert ["held"] not in client.events
        flood.go_on.touch()
        until(lambda: client.ask("say('answer', len(numbers))")[0] >= count)
        assert client.ask(f"say('answer', numbers == list(range({count})))") == [True]
        flood.ended = True
