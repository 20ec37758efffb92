"""A server for clients under test: it writes what it sees of them as lines of JSON after SEEN. `$PACKAGE` names its package.

A client names its scenario in the query of its URL.
"""

import asyncio
import importlib
import json
import os
import sys
import urllib.parse

import uvicorn

socketio = importlib.import_module(os.environ.get("PACKAGE", "socketio"))
options = {"ping_interval": 0.25, "ping_timeout": 20, "max_http_buffer_size": 5_000_000, "cors_allowed_origins": "*"}
options.update(eval(os.environ.get("OPTIONS", "{}")))
sio = socketio.AsyncServer(async_mode="asgi", async_handlers=True, **options)
# The same server under a second path.
app = socketio.ASGIApp(sio, socketio.ASGIApp(sio, socketio_path="deep/path"))
scenarios = {}
sessions = {}


def show(value):
    if isinstance(value, (bytes, bytearray)):
        return "bytes " + value.hex()
    if isinstance(value, (list, tuple)):
        return [show(item) for item in value]
    if isinstance(value, dict):
        return {key: show(item) for key, item in value.items()}
    return value


def say(sid, *what):
    sys.stdout.write(f"SEEN {json.dumps([scenarios[sid], *show(what)])}\n")
    sys.stdout.flush()


def known(environ):
    """Returns what a test has put into the request."""
    headers = {name[5:].lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    query = urllib.parse.parse_qs(environ["QUERY_STRING"])
    return {
        "path": environ["PATH_INFO"],
        "extra": query.get("extra"),
        "test": headers.get("x_test"),
        "cookie": headers.get("cookie"),
        "authorization": headers.get("authorization"),
        "revision": query.get("EIO"),
    }


class Events(socketio.AsyncNamespace):
    async def on_connect(self, sid, environ, auth=None):
        query = urllib.parse.parse_qs(environ["QUERY_STRING"])
        scenarios[sid] = query.get("scenario", ["none"])[0]
        refuse = auth.get("refuse") if isinstance(auth, dict) else None
        if self.namespace == "/private" or refuse:
            say(sid, "refused", self.namespace, auth)
            if refuse == "false":
                return False
            if refuse == "empty":
                raise socketio.exceptions.ConnectionRefusedError()
            raise socketio.exceptions.ConnectionRefusedError("not you", {"code": 7}, b"8" if refuse == "bytes" else 8)
        say(sid, "connect", self.namespace, auth, known(environ))
        if isinstance(auth, dict) and "greet" in auth:
            await self.emit("greeting", auth["greet"], to=sid)

    async def on_disconnect(self, sid, reason):
        say(sid, "disconnect", self.namespace, reason)

    async def on_echo(self, sid, *args):
        return args

    async def on_note(self, sid, *args):
        say(sid, "note", self.namespace, args)

    async def on_message(self, sid, *args):
        say(sid, "message", self.namespace, args)
        await self.emit("message", args, to=sid)

    async def on_say(self, sid, *args):
        await self.emit("said", args, to=sid)

    async def on_ask(self, sid, name, *args):
        """Asks the client, and tells it what it has answered."""

        async def answered(*answer):
            say(sid, "answer", name, answer)
            await self.emit("answered", (name, *answer), to=sid)

        await self.emit(name, args, to=sid, callback=answered)

    async def on_emit(self, sid, name, *args):
        await self.emit(name, args, to=sid)

    async def on_nothing(self, sid):
        pass

    async def on_pair(self, sid):
        return 1, b"2"

    async def on_silent(self, sid):
        await asyncio.sleep(60)

    async def on_kick(self, sid):
        await self.disconnect(sid)

    async def on_burst(self, sid, count):
        for number in range(count):
            await self.emit("number", number, to=sid)
            if number % 100 == 0:
                # Others have their turn, pings too.
                await asyncio.sleep(0)

    async def on_transport(self, sid):
        return sio.transport(sid, self.namespace)


for namespace in ("/", "/chat", "/class", "/private"):
    sio.register_namespace(Events(namespace))

if __name__ == "__main__":
    tls = {"ssl_keyfile": os.environ["KEY"], "ssl_certfile": os.environ["CERTIFICATE"]} if "KEY" in os.environ else {}
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="warning",
        timeout_graceful_shutdown=1,
        ws=os.environ.get("WS", "websockets-sansio"),
        **tls,
    )
