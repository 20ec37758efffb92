"""Programs under the package's own host."""

from __future__ import annotations

import contextlib
import http.client
import sys
from collections.abc import Iterable, Iterator

from support import Program, program

SERVE = [sys.executable, "-m", "kokanee", "serve"]


@contextlib.contextmanager
def serve(app: str, *options: str, port: int | None = None, **environment: str) -> Iterator[Program]:
    """Runs `python -m kokanee serve` with an application of `programs`."""
    with program(*SERVE, app, "--port", "{port}", *options, port=port, **environment) as running:
        yield running


def post_chunks(server: Program, path: str, chunks: Iterable[bytes]) -> tuple[int, bytes]:
    """Sends a body of unknown length, and returns status and body of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, iter(chunks), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check_echo(server: Program, size: int) -> None:
    """Asserts that a body of so many bytes comes back from `/echo`, sent with its length and in chunks."""
    sent = bytes(index % 251 for index in range(size))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/echo", sent)
    assert connection.getresponse().read() == sent
    connection.close()
    assert post_chunks(server, "/echo", [sent[at : at + 40_000] for at in range(0, size, 40_000)])[1] == sent
