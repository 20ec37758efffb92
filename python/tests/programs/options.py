"""A server with options that test_server_api.py is about, by `$KIND`."""

import os

import either
import kokanee as socketio

OPTIONS = {
    "cors_allowed_origins": lambda origin, environ: (
        origin.removesuffix(".test") == f"http://{environ['HTTP_HOST']}"
    ),
    "cookie": {"name": "place", "path": "/", "SameSite": lambda: "Strict", "HttpOnly": True},
}
seen = []

if os.environ["KIND"] == "async":
    sio = socketio.AsyncServer(async_mode="asgi", **OPTIONS)
    app = socketio.ASGIApp(sio)

    @sio.event
    async def ask(sid, other):
        try:
            return await sio.call("question", to=other, timeout=None)
        except socketio.exceptions.TimeoutError:
            return "gone"
else:
    sio = socketio.Server(async_mode="threading", **OPTIONS)
    app = socketio.WSGIApp(sio)

    @sio.event
    def ask(sid, other):
        try:
            return sio.call("question", to=other, timeout=None)
        except socketio.exceptions.TimeoutError:
            return "gone"

    # A function in the place of a method sees all packets.
    original = sio._send_packet

    def send_packet(eio_sid, pkt):
        seen.append(pkt.encode())
        return original(eio_sid, pkt)

    sio._send_packet = send_packet

    @sio.event
    def packets(sid):
        return seen


# Before the first client an option may change.
sio.eio.ping_interval = 3

if __name__ == "__main__":
    either.serve(app, os.environ["KIND"] == "async")
