"""Stands between a client and a server, and can stop forwarding without a word: as a network does whose cable is pulled."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Forwards connections to a port, until it is cut."""

    def __init__(self, listener: socket.socket, target: int) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        #: How many connections there were.
        self.count = 0

    def cut(self) -> None:
        """Stops forwarding: what is sent meanwhile is kept by the system, and nobody hears of it."""
        self._flows.clear()

    def mend(self) -> None:
        """Forwards again."""
        self._flows.set()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.count += 1
                threading.Thread(target=self._forward, args=[client], daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._flows.wait()
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                others = {client: server, server: client}
                while True:
                    for ready in select.select([client, server], [], [])[0]:
                        self._flows.wait()
                        read = ready.recv(65536)
                        if not read:
                            return
                        others[ready].sendall(read)


@contextlib.contextmanager
def relay(target: int) -> Iterator[Relay]:
    """Runs a relay to a port until the block ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        running = Relay(listener, target)
        threading.Thread(target=running.serve, daemon=True).start()
        yield running
        running.mend()
        listener.shutdown(socket.SHUT_RDWR)
