"""The test kit's clients of applications of frameworks: their requests go through these."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import kokanee
from kokanee.testing import ConnectionRefused, RequestRefused, TestClient, virtual_time



def test_flask() -> None:
    import flask

    app = flask.Flask(__name__)
    app.secret_key = "secret"
    sio = kokanee.Server()

    @app.get("/login")
    def login() -> str:
        flask.session["user"] = "ada"
        return "hello"

    @sio.event
    def connect(sid: str, environ: Any) -> None:
        with app.request_context(environ):
            if "user" not in flask.session:
                raise ConnectionRefusedError
            sio.save_session(sid, {"user": flask.session["user"]})

    @sio.event
    def who(sid: str) -> Any:
        return sio.get_session(sid)["user"]

    app.wsgi_app = kokanee.WSGIApp(sio, app.wsgi_app)  # type: ignore[method-assign]
    with pytest.raises(ConnectionRefused):
        TestClient(app, server=sio).connect()
    cookie = app.test_client().get("/login").headers["Set-Cookie"].partition(";")[0]
    with TestClient(app, server=sio, headers={"Cookie": cookie}) as client:
        assert client.call("who") == "ada"


def test_fastapi_below_a_mount() -> None:
    import fastapi
    from starlette.types import ASGIApp, Receive, Scope, Send

    class Guard:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket" and b"token=good" not in scope["query_string"]:
                await send({"type": "websocket.close", "code": 1008})
                return
            scope["user"] = "ada"
            await self.app(scope, receive, send)

    app = fastapi.FastAPI()
    app.add_middleware(Guard)
    sio = kokanee.AsyncServer(async_mode="asgi")

    @sio.event
    async def connect(sid: str, environ: Any) -> None:
        await sio.save_session(sid, {"user": environ["asgi.scope"]["user"]})

    @sio.event
    async def who(sid: str) -> Any:
        return (await sio.get_session(sid))["user"]

    app.mount("/live", kokanee.ASGIApp(sio))
    path = "/live/socket.io/"
    with TestClient(app, server=sio, path=path, query={"token": "good"}) as client:
        assert client.call("who") == "ada"
    with pytest.raises(RequestRefused):
        TestClient(app, server=sio, path=path, query={"token": "bad"}).connect()
    with pytest.raises(RequestRefused):
        TestClient(app, server=sio, path="/elsewhere/", query={"token": "good"}).connect()


def test_django() -> None:
    text = """
import django
from django.conf import settings

settings.configure(DEBUG=True, SECRET_KEY="s", ROOT_URLCONF=(), ALLOWED_HOSTS=["*"])
django.setup()

from django.core.wsgi import get_wsgi_application

import kokanee
from kokanee.testing import TestClient

sio = kokanee.Server()
sio.on("echo", lambda sid, data: data)
with TestClient(kokanee.WSGIApp(sio, get_wsgi_application())) as client:
    assert client.call("echo", 1) == 1
"""
    _run(text)


def test_flask_socketio() -> None:
    text = """
import kokanee

kokanee.install_as_socketio()

import flask
from flask_socketio import SocketIO, emit

from kokanee.testing import TestClient, virtual_time

app = flask.Flask("app")
sio = SocketIO(app, async_mode="threading")


@sio.on("hello")
def hello(name):
    emit("greeting", f"{name} at {flask.request.headers['X-Place']}")
    return "done"


with TestClient(sio, headers={"X-Place": "home"}) as client:
    assert client.call("hello", "ada") == "done"
    client.expect("greeting", "ada at home")
with virtual_time() as clock, TestClient(sio) as client:
    clock.advance(60)
    assert client.ping_count == 2
"""
    _run(text)


def test_threads_of_gevent_are_refused() -> None:
    text = """
from gevent import monkey

monkey.patch_all()

import kokanee
from kokanee.testing import TestClient

try:
    TestClient(kokanee.Server(async_mode="gevent")).connect()
except RuntimeError as error:
    assert "gevent or eventlet has patched this process" in str(error)
else:
    raise AssertionError
"""
    _run(text)


@pytest.mark.parametrize("mode", ["gevent", "eventlet"])
def test_a_server_for_greenlets_is_tested_on_threads(mode: str) -> None:
    text = f"""
import kokanee
from kokanee.testing import TestClient, virtual_time

sio = kokanee.Server(async_mode="{mode}")


@sio.event
def later(sid):
    sio.sleep(5)
    return "slept"


with virtual_time() as clock, TestClient(sio) as client:
    assert client.call("later") == "slept"
    assert clock.time() == 5
"""
    _run(text)


def _run(text: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if run.returncode != 0:
        pytest.fail(run.stdout + run.stderr)


def test_a_server_of_a_subclass_keeps_what_it_overrides() -> None:
    class Server(kokanee.Server):
        def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
            seen.append(event)
            return super()._trigger_event(event, namespace, *args)

    seen: list[str] = []
    sio = Server()
    sio.on("echo", lambda sid, data: data)
    with virtual_time(), TestClient(sio) as client:
        assert client.call("echo", 1) == 1
    assert "echo" in seen
