"""One program for both packages: what clients see of it is compared. `$PACKAGE` names the package."""

import importlib
import os
import sys

socketio = importlib.import_module(os.environ.get("PACKAGE", "kokanee"))
ours = os.environ.get("PACKAGE", "kokanee") == "kokanee"
options = {"allow_eio3": True} if ours and os.environ.get("EIO3") else {}
options.update(eval(os.environ.get("OPTIONS", "{}")))
sio = socketio.Server(
    async_mode=os.environ.get("MODE") or None, namespaces=["/", "/admin", "/class"], **options
)
app = socketio.WSGIApp(sio)


def say(*words):
    # One write, as threads write at the same time.
    sys.stdout.write(f"SEEN {' '.join(map(str, words))}\n")


@sio.event
def connect(sid, environ, auth):
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
    sio.emit("welcome", {"auth": auth}, to=sid)


@sio.event
def disconnect(sid, reason):
    say("disconnect", reason)


@sio.event
def echo(sid, *args):
    sio.emit("back", args, to=sid)
    return args


@sio.event
def one(sid, value):
    return value


@sio.event
def fails(sid):
    raise ValueError("expected by the test")


@sio.on("message")
def message(sid, data):
    sio.send(["got", data], to=sid)


@sio.event
def join(sid, room):
    sio.enter_room(sid, room)
    return sorted(room for room in sio.rooms(sid) if room != sid)


@sio.event
def leave(sid, room):
    sio.leave_room(sid, room)
    return sorted(room for room in sio.rooms(sid) if room != sid)


@sio.event
def close(sid, room):
    sio.close_room(room)


@sio.event
def shout(sid, room, skip):
    sio.emit("heard", {"room": room}, to=room, skip_sid=sid if skip else None)


@sio.event
def ask(sid):
    answers = [sio.call("question", value, to=sid, timeout=5) for value in (1, "two", [3], b"4")]
    try:
        sio.call("silent", to=sid, timeout=0.2)
    except socketio.exceptions.TimeoutError:
        answers.append("timeout")
    sio.emit("answers", {"list": [list(a) if isinstance(a, tuple) else a for a in answers]}, to=sid)


@sio.event
def remember(sid, value):
    with sio.session(sid) as session:
        session.setdefault("values", []).append(value)
        return list(session["values"])


@sio.event
def transport(sid):
    return sio.transport(sid)


@sio.event
def kick(sid):
    sio.disconnect(sid)


@sio.on("*")
def anything(event, sid, *args):
    return ["anything", event, *args]


@sio.on("connect", namespace="/admin")
def admin_connect(sid, environ, auth):
    say("connect /admin")


@sio.on("disconnect", namespace="/admin")
def admin_disconnect(sid):
    say("disconnect /admin")


@sio.on("where", namespace="/admin")
def where(sid):
    return "/admin"


class Thing(socketio.Namespace):
    def on_connect(self, sid, environ, auth):
        say("connect /class")

    def on_where(self, sid, value):
        self.emit("here", {"value": value}, to=sid)
        return "class", value

    def on_disconnect(self, sid, reason):
        say("disconnect /class", reason)


sio.register_namespace(Thing("/class"))
