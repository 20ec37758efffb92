"""A server whose handlers do what test_semantics.py is about: functions by `$KIND` = sync, coroutines by async."""

import asyncio
import builtins
import collections
import gc
import inspect
import os
import pathlib
import sys

import either
import kokanee as socketio

IS_ASYNC = os.environ["KIND"] == "async"
seen: collections.deque = collections.deque(maxlen=100)
counts: dict = {}

options = eval(os.environ.get("OPTIONS", "{}"))
if IS_ASYNC:
    sio = socketio.AsyncServer(async_mode="asgi", namespaces=["/plain"], **options)
    app = socketio.ASGIApp(sio)
else:
    mode = os.environ.get("MODE") or "threading"
    sio = socketio.Server(async_mode=mode, namespaces=["/plain"], **options)
    app = socketio.WSGIApp(sio)
    sio._mode.idle_seconds = float(os.environ.get("IDLE", 30))


def handler(event, namespace=None):
    """Registers a coroutine function; on a `Server` as the function that runs it to its end."""

    def register(function):
        if IS_ASYNC:
            sio.on(event, function, namespace=namespace)
            return function
        # With the same parameters, by which it is called.
        parameters = ", ".join(inspect.signature(function).parameters)
        star = "*" if "args" in parameters else ""
        source = f"lambda {parameters.replace('args', star + 'args')}: run(function({parameters.replace('args', star + 'args')}))"
        sio.on(event, eval(source, {"run": run, "function": function}), namespace=namespace)
        return function

    return register


def run(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


async def do(value):
    return await value if inspect.isawaitable(value) else value


def count(name):
    counts[name] = counts.get(name, 0) + 1


@handler("connect")
async def connect(sid, environ, auth):
    what = (auth or {}).get("do")
    seen.append(["connect", auth, environ["PATH_INFO"], sio.manager.is_connected(sid, "/")])
    if what == "false":
        return False
    if what == "zero":
        return 0
    if what == "refused":
        raise socketio.exceptions.ConnectionRefusedError("no entry", 1, 2)
    if what == "builtin":
        raise builtins.ConnectionRefusedError("secret")
    if what == "raise":
        await do(sio.enter_room(sid, "early"))
        raise ZeroDivisionError
    if what == "cancel":
        raise asyncio.CancelledError
    if what == "disconnect":
        await do(sio.disconnect(sid))
    if what == "emit":
        await do(sio.enter_room(sid, "early"))
        await do(sio.save_session(sid, {"name": "early"}))
        await do(sio.emit("first", ("a", 1), to=sid))
        await do(sio.emit("second", to=sid))
        seen.append(["rooms", sorted(sio.rooms(sid)) == sorted([sid, "early"])])


@handler("disconnect")
async def disconnect(sid, reason):
    session = await do(sio.get_session(sid))
    environ = sio.get_environ(sid)
    seen.append(
        ["disconnect", reason, len(sio.rooms(sid)), session, environ is not None]
    )
    if "raise" in session:
        raise ZeroDivisionError


@handler("connect", "/two")
async def connect_two(sid, environ):
    count("two")


@handler("disconnect", "/two")
async def disconnect_two(sid):
    count("left two")
    raise TypeError("within")


@handler("connect", "/typeerror")
async def connect_typeerror(sid, environ, auth=None):
    count("typeerror")
    raise TypeError("within")


@handler("tuple")
async def answer_tuple(sid):
    return "a", {"b": b"c"}


@handler("list")
async def answer_list(sid):
    return ["a", "b"]


@handler("none")
async def answer_none(sid, *args):
    seen.append(["none", list(args)])


@handler("raise")
async def answer_raise(sid):
    raise ZeroDivisionError


@handler("cancelled")
async def answer_cancelled(sid):
    raise asyncio.CancelledError


@handler("nan")
async def answer_nan(sid):
    try:
        await do(sio.emit("nan", {"a": [float("nan")]}, to=sid))
    except ValueError as error:
        return str(error)


@handler("object")
async def answer_object(sid):
    try:
        await do(sio.emit("object", {"a": [1, object()]}, to=sid))
    except TypeError as error:
        return str(error)


@handler("emit")
async def emit(sid, event, data, options):
    if isinstance(options.get("skip_sid"), list) and options.pop("tuple", False):
        options["skip_sid"] = tuple(options["skip_sid"])
    await do(sio.emit(event, data, **options))


@handler("enter")
async def enter(sid, room):
    try:
        await do(sio.enter_room(sid, room))
    except (ValueError, KeyError) as error:
        return str(error)
    return sorted(sio.rooms(sid), key=str)


@handler("close")
async def close(sid, room):
    try:
        await do(sio.close_room(room))
    except ValueError as error:
        return str(error)


@handler("session")
async def session(sid, session):
    await do(sio.save_session(sid, session))


@handler("bye")
async def bye(sid, other):
    await do(sio.disconnect(other))
    # Its handler has run.
    return seen[-1][:2], sio.manager.is_connected(other, "/")


@handler("shout")
async def shout(sid, size, times):
    for _ in range(times):
        await do(sio.emit("shouted", "x" * size))
    return "done"


@handler("burst")
async def burst(sid, count):
    for number in range(count):
        await do(sio.emit("number", number, to=sid))


@handler("leave")
async def leave(sid):
    await do(sio.disconnect(sid))
    await do(sio.emit("too late", to=sid))


@handler("chatter")
async def chatter(sid, count):
    # Its client leaves meanwhile.
    await do(sio.enter_room(sid, "chatter"))
    for number in range(count):
        await do(sio.emit("chatter", number, to=sid))
        await do(sio.emit("chatter", "x" * 100, to="chatter"))


@handler("ask")
async def ask(sid):
    count("asked")
    try:
        await do(sio.call("question", to=sid, timeout=60))
    except socketio.exceptions.TimeoutError:
        count("not answered")


@handler("usage")
async def usage(sid):
    gc.collect()
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return {
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "kilobytes": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "callbacks": len(sio._callbacks),
    }


@handler("state")
async def state(sid):
    rooms = sio.manager.rooms
    return {
        "seen": list(seen)[-30:],
        "counts": counts,
        "rooms": {name: sorted(map(str, rooms[name])) for name in rooms},
        "clients": len(sio.manager.clients),
        "environs": len(sio.environ),
        "sockets": len(sio.eio.sockets),
        "sessions": len(sio._sessions),
    }


@handler("*", "/any")
async def any_event(event, sid, *args):
    return ["any", event, *args]


@handler("known", "*")
async def known_everywhere(namespace, sid, *args):
    return ["known", namespace, *args]


@handler("*", "*")
async def everything(event, namespace, sid, *args):
    return ["all", event, namespace, *args]


if __name__ == "__main__":
    either.serve(app, IS_ASYNC)
