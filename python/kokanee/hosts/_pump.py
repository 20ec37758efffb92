"""Connections that a host encrypts: its thread or greenlet carries the bytes between client and engine until one ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, Callable

#: Bytes that may wait in one direction before no more are read.
_MOST_BYTES = 256 * 1024
_PIECE = 64 * 1024
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def pump(mode: Any, client: Any, adopt: Callable[[int], None]) -> None:
    """Gives the engine an end of a socket pair, and carries bytes between it and a client's connection."""
    engine, theirs = socket.socketpair()
    try:
        adopt(theirs.fileno())
        theirs.close()
        client.setblocking(False)
        engine.setblocking(False)
        with contextlib.suppress(OSError):
            _carry(mode, client, engine)
    finally:
        theirs.close()
        engine.close()
        # Whatever the host still writes does not reach the client.
        with contextlib.suppress(OSError):
            client.setblocking(True)
            client.shutdown(socket.SHUT_RDWR)


def _carry(mode: Any, client: Any, engine: Any) -> None:
    to_client, to_engine = bytearray(), bytearray()
    engine_ended = client_ended = False
    while not client_ended and not (engine_ended and not to_client):
        moved = False
        if not engine_ended and len(to_client) < _MOST_BYTES:
            piece = _receive(engine)
            engine_ended = piece == b""
            moved |= piece is not None
            to_client += piece or b""
        if len(to_engine) < _MOST_BYTES:
            piece = _receive(client)
            client_ended = piece == b""
            moved |= piece is not None
            to_engine += piece or b""
        moved |= _send(client, to_client)
        moved |= _send(engine, to_engine)
        if not moved:
            readers = [] if engine_ended or len(to_client) >= _MOST_BYTES else [engine]
            writers = [engine] if to_engine else []
            if to_client:
                writers.append(client)
            if len(to_engine) < _MOST_BYTES:
                readers.append(client)
            mode.select(readers, writers)


def _receive(source: Any) -> bytes | None:
    """Returns bytes, `b""` at the end, `None` if there are none now."""
    try:
        return bytes(source.recv(_PIECE))
    except _LATER:
        return None
    except ssl.SSLError:
        return b""


def _send(target: Any, waiting: bytearray) -> bool:
    """Sends what it can. Returns whether that was anything."""
    if not waiting:
        return False
    try:
        sent = target.send(bytes(waiting[:_PIECE]))
    except _LATER:
        return False
    del waiting[:sent]
    return bool(sent)
