"""The plug-in for pytest, in runs of pytest of its own: with functions, with pytest-asyncio, and with anyio."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kokanee._serve_asgi
import kokanee._serve_wsgi
import kokanee.pytest_plugin
import kokanee.testing

#: A run within this process drops the modules that it has imported: those of classes that are compared must be there before.
BEFORE = (kokanee.ASGIApp, kokanee.AsyncServer, kokanee.Server, kokanee.WSGIApp)

pytest_plugins = ["pytester"]

#: Where the package is installed, pytest finds the plug-in itself.
PLUGIN = () if importlib.metadata.entry_points(group="pytest11", name="kokanee") else ("-p", "kokanee.pytest_plugin")

PYTHON = Path(__file__).parent.parent

APPLICATION = """
import kokanee

left = []
sio = kokanee.{kind}({options})


def echo(sid, *args):
    return args


def disconnect(sid, reason):
    left.append(reason)


sio.on("echo", echo)
sio.on("disconnect", disconnect)
"""

CONFTEST = """
import pytest
from application import sio


@pytest.fixture
def kokanee_app():
    return sio
"""


def run(pytester: pytest.Pytester, kind: str, text: str, *arguments: str, conftest: str = CONFTEST) -> pytest.RunResult:
    """Runs a file of tests."""
    options = "async_mode='asgi'" if kind == "AsyncServer" else ""
    pytester.makepyfile(application=APPLICATION.format(kind=kind, options=options), test_it=text)
    pytester.makeconftest(conftest)
    # The plug-in is imported here.
    warnings = ("-W", "error", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    return pytester.runpytest("-p", "no:xdist", "--durations=3", "-o", "asyncio_default_fixture_loop_scope=function", *warnings, *PLUGIN, *arguments)


@pytest.mark.parametrize("kind", ["Server", "AsyncServer"])
def test_functions(kind: str, pytester: pytest.Pytester) -> None:
    text = """
import json
import urllib.request

import pytest
from application import left, sio


def test_a_client(kokanee_client):
    client = kokanee_client()
    assert client.call("echo", (1, 2)) == (1, 2)
    assert kokanee_client(sio, namespaces=("/",)).call("echo", 3) == 3
    assert not kokanee_client(connect=False).is_open()


def test_clients_were_disconnected():
    assert left == ["client disconnect"] * 2
    assert not sio.environ


def test_the_clock_is_there_before_clients(kokanee_client, kokanee_clock):
    client = kokanee_client()
    kokanee_clock.advance(50)
    assert client.ping_count == 2


def test_a_port(kokanee_server, kokanee_client):
    server = kokanee_server()
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    with urllib.request.urlopen(url) as answer:
        opened = answer.read()
    sid = json.loads(opened[1:])["sid"]
    with urllib.request.urlopen(f"{url}&sid={sid}", data=b"1") as answer:
        assert answer.read() == b"ok"
    with pytest.raises(RuntimeError, match="has a port"):
        kokanee_client()


def test_it_is_as_before(kokanee_client):
    assert kokanee_client().call("echo", 1) == 1
"""
    run(pytester, kind, text).assert_outcomes(passed=5)


@pytest.mark.parametrize("kind", ["Server", "AsyncServer"])
def test_pytest_asyncio(kind: str, pytester: pytest.Pytester) -> None:
    text = """
import asyncio

from kokanee.testing import AsyncTestClient
from application import left, sio


async def test_a_client(kokanee_async_client):
    clients = await asyncio.gather(*(kokanee_async_client() for _ in range(3)))
    assert [await client.call("echo", n) for n, client in enumerate(clients)] == [0, 1, 2]


async def test_another_loop(kokanee_async_client):
    client = await kokanee_async_client(sio)
    assert await client.call("echo", 1) == 1
    left.clear()
    await client.disconnect()
    assert left == ["client disconnect"]
    async with AsyncTestClient(sio) as client:
        assert await client.call("echo", 2) == 2


async def test_the_clock(kokanee_async_client, kokanee_clock):
    client = await kokanee_async_client()
    await kokanee_clock.advance_async(50)
    assert client.ping_count == 2


async def test_real_time_again(kokanee_async_client):
    client = await kokanee_async_client()
    assert await client.call("echo", 1) == 1


def test_a_function_between_them(kokanee_client):
    assert kokanee_client().call("echo", 1) == 1
"""
    run(pytester, kind, text, "--asyncio-mode=auto").assert_outcomes(passed=5)


@pytest.mark.parametrize("kind", ["Server", "AsyncServer"])
def test_anyio(kind: str, pytester: pytest.Pytester) -> None:
    text = """
import anyio
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_clients_in_a_task_group(kokanee_async_client):
    answers = []

    async def ask(number):
        client = await kokanee_async_client()
        answers.append(await client.call("echo", number))

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(ask, number)
    assert sorted(answers) == [0, 1, 2]


async def test_the_clock(kokanee_async_client, kokanee_clock):
    client = await kokanee_async_client()
    await kokanee_clock.advance_async(25)
    assert client.ping_count == 1
"""
    run(pytester, kind, text, "-p", "no:asyncio").assert_outcomes(passed=2)


def test_without_an_application_a_test_says_what_to_do(pytester: pytest.Pytester) -> None:
    result = run(pytester, "Server", "def test_it(kokanee_client):\n    kokanee_client()\n", conftest="")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*define a fixture kokanee_app that returns one*"])


def test_an_application_that_does_not_start_fails_its_test(pytester: pytest.Pytester) -> None:
    text = """
import pytest


async def broken(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


def test_it(kokanee_server):
    with pytest.raises(Exception, match="no database"):
        kokanee_server(broken, interface="asgi")
"""
    run(pytester, "Server", text).assert_outcomes(passed=1)


def test_the_plugin_alone_imports_no_test_kit() -> None:
    text = """
import sys, kokanee.pytest_plugin
assert not [name for name in sys.modules if name.startswith("kokanee.testing")]
assert "kokanee.server" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", text], check=True, timeout=60)


def test_an_installed_package_has_the_plugin() -> None:
    text = (PYTHON / "pyproject.toml").read_text()
    found = re.search(r'\[project\.entry-points\.pytest11\]\nkokanee = "(.*)"\n', text)
    assert found is not None
    assert found[1] == kokanee.pytest_plugin.__name__
