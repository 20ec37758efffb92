"""A server with functions of its own in the place of methods: `$KIND` = sync or async, by `$PACKAGE`, of `$WHICH` method."""

import json
import os

import either

if os.environ["PACKAGE"] == "kokanee":
    import kokanee

    kokanee.install_as_socketio()

import socketio

IS_ASYNC = os.environ["KIND"] == "async"
METHOD = os.environ["WHICH"]


def show(pkt):
    """Prints a packet of either kind without its ids."""
    if METHOD == "_send_packet":
        has_id = pkt.id is not None and pkt.packet_type not in (3, 6)
        data = {"sid": ""} if pkt.packet_type == 0 else pkt.data
        print("SEEN", json.dumps([pkt.packet_type, pkt.namespace or "/", has_id or pkt.id, repr(data)]))
    else:
        data = pkt.data
        if isinstance(data, str):
            data = '0{"sid":""}' if data.startswith('0{"sid"') else data
            data = "51-N" + data[data.index("[") :] if data.startswith("51-") else data
        print("SEEN", json.dumps([repr(data)]))


base = socketio.AsyncServer if IS_ASYNC else socketio.Server


class Server(base):
    """Overrides the method as a subclass does."""


def overriding(original):
    if IS_ASYNC:

        async def method(self, eio_sid, pkt):
            show(pkt)
            return await original(self, eio_sid, pkt)
    else:

        def method(self, eio_sid, pkt):
            show(pkt)
            return original(self, eio_sid, pkt)

    return method


setattr(Server, METHOD, overriding(getattr(base, METHOD)))

options = {"async_handlers": False, "namespaces": ["/other"]}
if IS_ASYNC:
    sio = Server(async_mode="asgi", **options)
    app = socketio.ASGIApp(sio)

    @sio.event
    async def connect(sid, environ, auth):
        if auth == {"refuse": True}:
            raise socketio.exceptions.ConnectionRefusedError("no", 1)

    @sio.event
    async def ask(sid, *args):
        await sio.emit("text", {"a": [1]}, to=sid)
        await sio.emit("bytes", b"x", to=sid, callback=lambda *answer: print("ANSWER", answer))
        await sio.send(("a", 1))
        return "one", b"two"

    @sio.event
    async def bye(sid):
        await sio.disconnect(sid)
        print("BYE")
else:
    sio = Server(async_mode="threading", **options)
    app = socketio.WSGIApp(sio)

    @sio.event
    def connect(sid, environ, auth):
        if auth == {"refuse": True}:
            raise socketio.exceptions.ConnectionRefusedError("no", 1)

    @sio.event
    def ask(sid, *args):
        sio.emit("text", {"a": [1]}, to=sid)
        sio.emit("bytes", b"x", to=sid, callback=lambda *answer: print("ANSWER", answer))
        sio.send(("a", 1))
        return "one", b"two"

    @sio.event
    def bye(sid):
        sio.disconnect(sid)
        print("BYE")


if __name__ == "__main__":
    either.serve(app, IS_ASYNC, log_level="error")
