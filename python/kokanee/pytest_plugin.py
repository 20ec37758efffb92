"""Fixtures for pytest, which finds them in an installed package by itself: clients, a clock, and a server with a port.

| fixture | is |
|---|---|
| `kokanee_client` | a function that returns a connected `TestClient` |
| `kokanee_async_client` | a coroutine function that returns a connected `AsyncTestClient` |
| `kokanee_clock` | the virtual clock of the test |
| `kokanee_server` | a function that returns a started `LiveServer` |
| `kokanee_app` | what these use if they are not given a server or an application: define it in your `conftest.py` |

The test kit is imported by the first test that uses one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import AsyncTestClient, Clock, LiveServer, TestClient


@pytest.fixture
def kokanee_app() -> Any:
    """Fails: a project has its own fixture of this name, which returns its server or application."""
    pytest.fail("give a server or an application, or define a fixture kokanee_app that returns one", pytrace=False)


@pytest.fixture
def kokanee_clock() -> Iterator[Clock]:
    """Puts a virtual clock in force for the test."""
    from .testing import virtual_time

    with virtual_time() as clock:
        yield clock


@pytest.fixture
def kokanee_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., TestClient]]:
    """Returns a function that makes a client and connects it; its arguments are those of `TestClient`.

    `connect=False` leaves that to the test. Clients are disconnected at the end of the test.
    """
    from .testing import TestClient

    _begin_clock(request)
    with contextlib.ExitStack() as ends:

        def client(target: Any = None, *, connect: bool = True, **options: Any) -> TestClient:
            made = TestClient(_target(request, target), **options)
            ends.callback(made.disconnect)
            if connect:
                made.connect()
            return made

        yield client


@pytest.fixture
def kokanee_async_client(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Coroutine[Any, Any, AsyncTestClient]]]:
    """Returns a coroutine function that makes a client and connects it; its arguments are those of `AsyncTestClient`.

    At the end of the test, when its event loop may not run any more, clients lose their connections. For handlers of `disconnect`,
    use `async with`, or disconnect them in the test.
    """
    from .testing import AsyncTestClient

    _begin_clock(request)
    clients: list[AsyncTestClient] = []

    async def client(target: Any = None, *, connect: bool = True, **options: Any) -> AsyncTestClient:
        made = AsyncTestClient(_target(request, target), **options)
        clients.append(made)
        if connect:
            await made.connect()
        return made

    yield client
    for each in clients:
        each._core.abandon()


@pytest.fixture
def kokanee_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., LiveServer]]:
    """Returns a function that serves an application on a free port of 127.0.0.1; its options are those of `kokanee.run`.

    Servers stop at the end of the test.
    """
    from .testing import LiveServer

    with contextlib.ExitStack() as ends:

        def server(app: Any = None, **options: Any) -> LiveServer:
            made = LiveServer(_target(request, app), **options).start()
            ends.callback(made.stop)
            return made

        yield server


def _target(request: pytest.FixtureRequest, given: Any) -> Any:
    return given if given is not None else request.getfixturevalue("kokanee_app")


def _begin_clock(request: pytest.FixtureRequest) -> None:
    """Has the clock of a test in force before its clients, whatever the order of its parameters is."""
    if "kokanee_clock" in request.fixturenames:
        request.getfixturevalue("kokanee_clock")
