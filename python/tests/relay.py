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
        #: How many bytes came from clients, and from the server.
        self.from_clients = self.from_server = 0
        self._refuses = False
        self._live: list[socket.socket] = []

    def cut(self) -> None:
        """Stops forwarding: what is sent meanwhile is kept by the system, and nobody hears of it."""
        self._flows.clear()

    def mend(self) -> None:
        """Forwards and accepts again."""
        self._refuses = False
        self._flows.set()

    def drop(self) -> None:
        """Ends all connections, and accepts no others until `mend`."""
        self._refuses = True
        for each in list(self._live):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

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
                self._live += [client, server]
                try:
                    self._exchange(client, server)
                finally:
                    self._live.remove(client)
                    self._live.remove(server)

    def _exchange(self, client: socket.socket, server: socket.socket) -> None:
        """Forwards in both directions, until either side ends."""
        others = {client: server, server: client}
        while not self._refuses:
            for ready in select.select([client, server], [], [])[0]:
                self._flows.wait()
                read = ready.recv(65536)
                if not read:
                    return
                if ready is client:
                    self.from_clients += len(read)
                else:
                    self.from_server += len(read)
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
