"""A server whose handler needs the CPU, and a page that says which worker answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import kokanee

sio = kokanee.Server(async_mode="threading")


def which(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the id of this process."""
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


app = kokanee.WSGIApp(sio, which)


@sio.event
def connect(sid: str, environ: dict[str, Any]) -> None:
    """Lets every client in."""


@sio.event
def work(sid: str, text: str) -> int:
    """Computes for a while."""
    return sum(number * number for number in range(3_000))
