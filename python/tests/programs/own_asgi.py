"""An ASGI application for the tests of the package's own host: each path does one thing."""

import asyncio
import json
import os
import sys

import kokanee

sio = kokanee.AsyncServer(async_mode="asgi")


def say(*words):
    sys.stdout.write(f"{' '.join(map(str, words))}\n")


async def answer(send, body=b"", status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def read(receive):
    pieces, body = 0, b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, body
        pieces, body = pieces + 1, body + message["body"]
        if not message["more_body"]:
            return pieces, body


async def scope(scope, receive, send):
    shown = {name: value for name, value in scope.items() if name not in ("extensions", "headers")}
    shown["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    shown["raw_path"], shown["query_string"] = shown["raw_path"].decode(), shown["query_string"].decode()
    await answer(send, json.dumps(shown).encode())


async def echo(scope, receive, send):
    _, body = await read(receive)
    await answer(send, body)


async def stream(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


async def bodiless(scope, receive, send):
    length = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": int(scope["query_string"]), "headers": length})
    if "pieces" in scope["path"]:
        await send({"type": "http.response.body", "body": b"bo", "more_body": True})
    await send({"type": "http.response.body", "body": b"dy"})


async def endless(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    sent = 0
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 1
            if sent == 100:
                say("a hundred pieces")
    except OSError:
        say("stopped")


async def trickle(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(int(scope["query_string"])):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body"})


async def leave(scope, receive, send):
    await read(receive)
    say("waits")
    say((await receive())["type"])


async def careless(scope, receive, send):
    say("a message", (await receive())["type"])
    say("a message", (await receive())["type"])
    try:
        await answer(send, b"never")
    except OSError as error:
        say("it says", error)
        raise ValueError("whatever an application makes of that") from None


async def streamed(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    _, body = await read(receive)
    await send({"type": "http.response.body", "body": body})


async def after(scope, receive, send):
    await answer(send, b"done")
    say((await receive())["type"])


async def exits(scope, receive, send):
    raise SystemExit("the application exits")


async def fail(scope, receive, send):
    raise ValueError("a failure in the application")


async def fail_late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise ValueError("a failure in the middle")


async def silent(scope, receive, send):
    pass


async def slow(scope, receive, send):
    say("slow begins")
    await asyncio.sleep(float(scope["query_string"]))
    await answer(send, b"slow")


async def socket(scope, receive, send):
    await receive()
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-accepted", b"yes")]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            say("left", message["code"], message["reason"])
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "€" * 60})
        elif message.get("text") == "return":
            return
        elif message.get("text") == "fail":
            raise ValueError("a failure in the WebSocket")
        elif message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"] * 2})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"] * 2})


async def shut_down(scope, receive, send):
    await sio.shutdown()
    await answer(send, b"shut down")


async def refuse(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})


async def deny(scope, receive, send):
    await receive()
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"login")]}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": b"log in ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"first"})


PATHS = {function.__name__: function for function in (
    scope, echo, stream, bodiless, endless, trickle, leave, careless, streamed, after, exits, fail, fail_late, silent, slow, socket, shut_down, refuse, deny,
)}  # fmt: skip


async def application(scope_, receive, send):
    if scope_["type"] == "lifespan":
        await lifespan(scope_, receive, send)
        return
    name = scope_["path"].strip("/").split("/")[-1]
    await PATHS.get(name, scope)(scope_, receive, send)


async def lifespan(scope, receive, send):
    await receive()
    if os.environ.get("FAIL"):
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    scope["state"]["made"] = "at the start"
    say("startup")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if os.environ.get("HANG"):
        await asyncio.sleep(60)
    say("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


app = kokanee.ASGIApp(sio, application)


async def nested(scope, receive, send):
    """Hides the server from the host."""
    await app(scope, receive, send)


@sio.event
async def connect(sid, environ):
    say("connect", environ["REMOTE_ADDR"], environ["asgi.scope"]["path"], environ["asgi.scope"]["state"])


@sio.event
async def my_message(sid, data):
    await sio.emit("back", data, to=sid)
    return data


@sio.event
async def disconnect(sid, reason):
    say("disconnect", reason)
