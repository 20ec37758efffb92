"""The ASGI hosts that the tests know, and those with an interface of their own: how each is started."""

from __future__ import annotations

import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def uvicorn(*options: str, app: str = "async_matrix:app") -> list[str]:
    """Returns the command of uvicorn."""
    return [str(BIN / "uvicorn"), "--port={port}", "--log-level=warning", *options, app]


#: The command of each host, and the mode of the server.
HOSTS: dict[str, tuple[list[str], str]] = {
    "uvicorn-sansio": (uvicorn("--ws=websockets-sansio", "--loop=uvloop"), "asgi"),
    "uvicorn-sansio-asyncio": (uvicorn("--ws=websockets-sansio", "--loop=asyncio"), "asgi"),
    "uvicorn-websockets": (uvicorn("--ws=websockets", "--loop=uvloop"), "asgi"),
    "uvicorn-websockets-asyncio": (uvicorn("--ws=websockets", "--loop=asyncio"), "asgi"),
    "uvicorn-wsproto": (uvicorn("--ws=wsproto", "--loop=asyncio", "--http=h11"), "asgi"),
    "uvicorn-wsproto-uvloop": (uvicorn("--ws=wsproto", "--loop=uvloop"), "asgi"),
    "hypercorn": ([str(BIN / "hypercorn"), "--bind=127.0.0.1:{port}", "async_matrix:app"], "asgi"),
    "daphne": ([str(BIN / "daphne"), "-p", "{port}", "-v0", "async_matrix:app"], "asgi"),
    "granian": (
        [
            *(str(BIN / "granian"), "--interface=asgi", "--port={port}"),
            *("--log-level=warning", "async_matrix:app"),
        ],
        "asgi",
    ),
    "gunicorn-asgi": (
        [
            *(str(BIN / "gunicorn"), "--bind=127.0.0.1:{port}", "--worker-class=asgi"),
            *("--log-level=warning", "--graceful-timeout=1", "async_matrix:app"),
        ],
        "asgi",
    ),
    "aiohttp": (["async_host.py", "aiohttp"], "aiohttp"),
    "tornado": (["async_host.py", "tornado"], "tornado"),
    "sanic": (["async_host.py", "sanic"], "sanic"),
}

#: Those that are like another one, as far as we can see: some of their cases run with `--full` only.
LIKE_OTHERS = {"uvicorn-sansio-asyncio", "uvicorn-websockets-asyncio", "uvicorn-wsproto-uvloop"}


def _taken(*options: str) -> list[str]:
    command = uvicorn(*options)
    command[command.index("--log-level=warning")] = "--log-level=info"
    return command


ASKED = "{'takeover': True}"
#: Where the connections of WebSockets can be taken over: the command, the options of the server, and whether it says that it
#: has taken them over.
TAKE_OVER: dict[str, tuple[list[str], str, bool]] = {
    "class": (_taken("--ws=kokanee.uvicorn:WebSocketProtocol", "--loop=uvloop"), "{}", True),
    "class-asyncio": (
        _taken("--ws=kokanee.uvicorn:WebSocketProtocol", "--loop=asyncio"),
        "{}",
        True,
    ),
    "option-sansio": (_taken("--ws=websockets-sansio", "--loop=uvloop"), ASKED, True),
    "option-sansio-asyncio": (_taken("--ws=websockets-sansio", "--loop=asyncio"), ASKED, True),
    "option-wsproto": (_taken("--ws=wsproto", "--loop=asyncio"), ASKED, True),
    # This one has a task of its own for each connection, which would fail.
    "option-websockets": (_taken("--ws=websockets", "--loop=asyncio"), ASKED, False),
    "option-aiohttp": (["async_host.py", "aiohttp"], ASKED, False),
}
