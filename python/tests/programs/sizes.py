"""A server for events of every size; `$KIND` and `$OPTIONS` are its kind and its options."""

import logging
import os

import kokanee

logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
logging.getLogger("werkzeug").setLevel(logging.ERROR)
port, kind = int(os.environ["PORT"]), os.environ["KIND"]
options = eval(os.environ["OPTIONS"])
many = [bytes([number]) for number in range(11)]

if kind == "async":
    sio = kokanee.AsyncServer(**options)

    @sio.event
    async def size(sid, data):
        return len(data)

    @sio.event
    async def burst(sid, count, size, letter):
        for number in range(count):
            await sio.emit("part", (number, letter * size), to=sid)

    @sio.event
    async def binary(sid):
        await sio.emit("many", many, to=sid)
        await sio.emit("many", many, to=sid, callback=lambda *args: print("ANSWER", len(args[0]), flush=True))
        return many

    @sio.event
    async def rooms(sid, count, length):
        for number in range(count):
            await sio.enter_room(sid, f"{number:0{length}}")
        return len(sio.rooms(sid))

    @sio.event
    async def disconnect(sid, reason):
        print("LEFT", reason, flush=True)

    kokanee.run(kokanee.ASGIApp(sio), port=port)
else:
    sio = kokanee.Server(async_mode="threading", **options)

    @sio.event
    def size(sid, data):
        return len(data)

    @sio.event
    def burst(sid, count, size, letter):
        for number in range(count):
            sio.emit("part", (number, letter * size), to=sid)

    @sio.event
    def binary(sid):
        sio.emit("many", many, to=sid)
        sio.emit("many", many, to=sid, callback=lambda *args: print("ANSWER", len(args[0]), flush=True))
        return many

    @sio.event
    def rooms(sid, count, length):
        for number in range(count):
            sio.enter_room(sid, f"{number:0{length}}")
        return len(sio.rooms(sid))

    @sio.event
    def disconnect(sid, reason):
        print("LEFT", reason, flush=True)

    from werkzeug.serving import run_simple

    run_simple("127.0.0.1", port, kokanee.WSGIApp(sio), threaded=True)
