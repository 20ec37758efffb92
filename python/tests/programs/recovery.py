"""A server whose clients may come back; `$KIND` is its kind. It prints who comes and goes."""

import os
import time

import kokanee

port, kind = int(os.environ["PORT"]), os.environ["KIND"]
options = {"connection_state_recovery": {"max_disconnection_duration": 20}}


def note(*words):
    # In one piece, as other threads write, too.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


if kind == "async":
    import asyncio

    sio = kokanee.AsyncServer(**options)

    @sio.event
    async def connect(sid, environ, auth):
        async with sio.session(sid) as session:
            note("CONNECT", sio.recovered(sid), session.get("name"), sorted(set(sio.rooms(sid)) - {sid}))

    @sio.event
    async def disconnect(sid, reason):
        await asyncio.sleep(0.2)
        note("DISCONNECT", reason, (await sio.get_session(sid)).get("name"))

    @sio.event
    async def name(sid, name, room):
        await sio.save_session(sid, {"name": name})
        await sio.enter_room(sid, room)
        return sid

    @sio.event
    async def say(sid, event, to, value):
        await sio.emit(event, value, to=to)
        return True

    kokanee.run(kokanee.ASGIApp(sio), port=port)
else:
    sio = kokanee.Server(async_mode="threading", **options)

    @sio.event
    def connect(sid, environ, auth):
        with sio.session(sid) as session:
            note("CONNECT", sio.recovered(sid), session.get("name"), sorted(set(sio.rooms(sid)) - {sid}))

    @sio.event
    def disconnect(sid, reason):
        time.sleep(0.2)
        note("DISCONNECT", reason, sio.get_session(sid).get("name"))

    @sio.event
    def name(sid, name, room):
        sio.save_session(sid, {"name": name})
        sio.enter_room(sid, room)
        return sid

    @sio.event
    def say(sid, event, to, value):
        sio.emit(event, value, to=to)
        return True

    kokanee.run(kokanee.WSGIApp(sio), port=port)
