"""A server with an application's serializer, by `$SERIALIZER`; functions or coroutines by `$KIND`."""

import json
import os
import types

import either
import kokanee as socketio
from kokanee.packet import Packet

try:
    from kokanee.msgpack_packet import MsgPackPacket
except ImportError:
    MsgPackPacket = None


class Reversed(Packet):
    """Writes each text backwards."""

    uses_binary_events = False

    def encode(self):
        return super().encode()[::-1]

    def decode(self, encoded_packet):
        return super().decode(encoded_packet[::-1])


class Scanless(Packet):
    uses_binary_events = False

    @classmethod
    def reconstruct_binary(cls, data, attachments):
        return super().reconstruct_binary(data, attachments)


def dumps(value, **kwargs):
    return json.dumps(value, default=lambda other: {"complex": [other.real, other.imag]}, **kwargs)


def loads(text, **kwargs):
    return json.loads(text, object_hook=lambda d: complex(*d["complex"]) if "complex" in d else d)


def plain_default(value):
    return [value.real, value.imag]


which = os.environ["SERIALIZER"]
options = {
    "reversed": {"serializer": Reversed},
    "scanless": {"serializer": Scanless},
    "json": {"json": types.SimpleNamespace(dumps=dumps, loads=loads)},
    "msgpack": {"serializer": "msgpack"},
    "every namespace": {"namespaces": "*"},
}
if which == "msgpack with hooks":
    options[which] = {"serializer": MsgPackPacket.configure(dumps_default=plain_default)}

is_async = os.environ["KIND"] == "async"
if is_async:
    sio = socketio.AsyncServer(async_mode="asgi", **options[which])
    app = socketio.ASGIApp(sio)
else:
    sio = socketio.Server(async_mode="threading", **options[which])
    app = socketio.WSGIApp(sio)


if is_async:

    @sio.event
    async def connect(sid, environ):
        await sio.enter_room(sid, "room")

    @sio.event
    async def echo(sid, *args):
        await sio.emit("back", args, to="room")
        return args

    @sio.event
    async def ask(sid, data):
        return await sio.call("question", data, to=sid)

    @sio.event
    async def add(sid, number):
        return number + 1j

    @sio.event
    async def state(sid):
        return [len(sio.manager.clients), sorted(sio.manager.rooms), sio.transport(sid)]

    @sio.on("where", namespace="*")
    async def where(namespace, sid):
        return [namespace, sorted(sio.manager.rooms)]
else:

    @sio.event
    def connect(sid, environ):
        sio.enter_room(sid, "room")

    @sio.event
    def echo(sid, *args):
        sio.emit("back", args, to="room")
        return args

    @sio.event
    def ask(sid, data):
        return sio.call("question", data, to=sid)

    @sio.event
    def add(sid, number):
        return number + 1j

    @sio.event
    def state(sid):
        return [len(sio.manager.clients), sorted(sio.manager.rooms), sio.transport(sid)]

    @sio.on("where", namespace="*")
    def where(namespace, sid):
        return [namespace, sorted(sio.manager.rooms)]


if __name__ == "__main__":
    either.serve(app, is_async)
