"""`kokanee.django` with the events that tests/interop/client/servers/events.mjs lists: handlers for `Server` and `AsyncServer`."""

import collections
import os

from django.conf import settings

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["kokanee.django"],
    ROOT_URLCONF=__name__,
    # One event of a client after the other, as in JavaScript.
    KOKANEE={"async_handlers": False, "max_http_buffer_size": 2_000_000, "ping_interval": 1},
)
urlpatterns: list = []

from kokanee.django import ConnectionRefusedError, sockets  # noqa: E402

if os.environ["GATEWAY"] == "wsgi":
    from kokanee.django.wsgi import get_wsgi_application as get_application
else:
    from kokanee.django.asgi import get_asgi_application as get_application

notes: collections.Counter[str] = collections.Counter()


def serve(namespace: str) -> None:
    """Declares the events of a namespace."""
    here = sockets.namespace(namespace)

    @here.on("connect")
    def connect(socket, auth):
        if namespace == "/private" and (not isinstance(auth, dict) or auth.get("token") != "kokanee"):
            raise ConnectionRefusedError("not authorized", {"code": 401, "hint": "say the token"})
        socket.data.update(numbers={"received": 0, "error": None}, auth=auth)

    @here.on("disconnect")
    def disconnect(socket, reason):
        notes[f"disconnect {namespace} {reason}"] += 1

    @here.on("echo")
    def echo(socket, *args):
        return args

    @here.on("say")
    async def say(socket, *args):
        socket.emit("said", args)

    @here.on("call me")
    def call_me(socket, name, *args):
        socket.emit(name, args, callback=lambda *answer: socket.emit("answered", answer))

    @here.on("burst")
    def burst(socket, count):
        for number in range(count):
            socket.emit("number", number)
        return ()

    @here.on("number")
    def number(socket, value):
        seen = socket.data["numbers"]
        if value != seen["received"] and seen["error"] is None:
            seen["error"] = f"{value} instead of {seen['received']}"
        seen["received"] = value + 1

    @here.on("report")
    def report(socket):
        return socket.data["numbers"]

    @here.on("note")
    def note(socket, key):
        notes[key] += 1

    @here.on("noted")
    async def noted(socket, key):
        return notes[key]

    @here.on("transport")
    def transport(socket):
        return sockets.server.transport(socket.sid, namespace)

    @here.on("handshake")
    def handshake(socket):
        request = socket.request
        headers = {name.lower(): value for name, value in request.headers.items()}
        return {"auth": socket.data["auth"], "query": dict(request.GET.items()), "headers": headers}

    @here.on("disconnect me")
    def disconnect_me(socket, close=False):
        socket.disconnect()


for name in ("/", "/chat", "/private"):
    serve(name)
application = get_application()
