"""`matrix.py` with an `AsyncServer`, for ASGI hosts and for those that `async_host.py` runs."""

import asyncio
import importlib
import os
import time

socketio = importlib.import_module(os.environ.get("PACKAGE", "kokanee"))
ours = os.environ.get("PACKAGE", "kokanee") == "kokanee"
options = {"allow_eio3": True} if ours and os.environ.get("EIO3") else {}
options.update(eval(os.environ.get("OPTIONS", "{}")))
sio = socketio.AsyncServer(
    async_mode=os.environ.get("MODE") or "asgi", namespaces=["/", "/admin", "/class"], **options
)
app = socketio.ASGIApp(sio)


def say(*words):
    # One write, as threads write at the same time.
    os.write(1, f"SEEN {' '.join(map(str, words))}\n".encode())


@sio.event
async def connect(sid, environ, auth):
    say("connect", environ["REQUEST_METHOD"], auth)
    if isinstance(auth, dict) and "refuse" in auth:
        if auth["refuse"] == "false":
            return False
        if auth["refuse"] == "data":
            raise socketio.exceptions.ConnectionRefusedError("no", {"code": 7}, 8)
        if auth["refuse"] == "empty":
            raise socketio.exceptions.ConnectionRefusedError()
        if auth["refuse"] == "builtin":
            raise ConnectionRefusedError("builtin")
    await sio.emit("welcome", {"auth": auth}, to=sid)


@sio.event
async def disconnect(sid, reason):
    say("disconnect", reason)


@sio.event
async def echo(sid, *args):
    await sio.emit("back", args, to=sid)
    return args


@sio.event
def one(sid, value):
    return value


@sio.event
async def fails(sid):
    raise ValueError("expected by the test")


@sio.on("message")
async def message(sid, data):
    await sio.send(["got", data], to=sid)


@sio.event
async def join(sid, room):
    await sio.enter_room(sid, room)
    return sorted(room for room in sio.rooms(sid) if room != sid)


@sio.event
async def leave(sid, room):
    await sio.leave_room(sid, room)
    return sorted(room for room in sio.rooms(sid) if room != sid)


@sio.event
async def close(sid, room):
    await sio.close_room(room)


@sio.event
async def shout(sid, room, skip):
    await sio.emit("heard", {"room": room}, to=room, skip_sid=sid if skip else None)


@sio.event
async def ask(sid):
    answers = [await sio.call("question", value, to=sid, timeout=5) for value in (1, "two", [3], b"4")]
    try:
        await sio.call("silent", to=sid, timeout=0.2)
    except socketio.exceptions.TimeoutError:
        answers.append("timeout")
    await sio.emit("answers", {"list": [list(a) if isinstance(a, tuple) else a for a in answers]}, to=sid)


@sio.event
async def remember(sid, value):
    async with sio.session(sid) as session:
        session.setdefault("values", []).append(value)
        return list(session["values"])


@sio.event
async def transport(sid):
    return sio.transport(sid)


@sio.event
async def kick(sid):
    await sio.disconnect(sid)


@sio.event
async def leave_program(sid):
    raise SystemExit(3)


@sio.event
async def block(sid, seconds):
    say("blocked")
    time.sleep(seconds)
    return "released"


@sio.event
async def wait(sid, seconds):
    say("waits")
    await asyncio.sleep(seconds)
    return "waited"


@sio.on("*")
async def anything(event, sid, *args):
    return ["anything", event, *args]


@sio.on("connect", namespace="/admin")
async def admin_connect(sid, environ):
    say("connect /admin")


@sio.on("disconnect", namespace="/admin")
async def admin_disconnect(sid):
    say("disconnect /admin")


@sio.on("where", namespace="/admin")
async def where(sid):
    return "/admin"


class Thing(socketio.AsyncNamespace):
    async def on_connect(self, sid, environ):
        say("connect /class")

    async def on_where(self, sid, value):
        await self.emit("here", {"value": value}, to=sid)
        return "class", value

    async def on_disconnect(self, sid, reason):
        say("disconnect /class", reason)


sio.register_namespace(Thing("/class"))
