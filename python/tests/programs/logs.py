"""A server whose log test_logs.py reads: `$KIND`, by `$PACKAGE` = kokanee or socketio."""

import os

import either

if os.environ["PACKAGE"] == "kokanee":
    import kokanee

    kokanee.install_as_socketio()

import socketio

if os.environ["KIND"] == "async":
    sio = socketio.AsyncServer(async_mode="asgi", logger=True, engineio_logger=True, async_handlers=False)
    app = socketio.ASGIApp(sio)

    @sio.event
    async def ask(sid, *args):
        await sio.enter_room(sid, "room")
        await sio.emit("back", b"bytes", to="room", callback=lambda *answer: None)
        await sio.leave_room(sid, "room")
        await sio.close_room("room")
        return 1

    @sio.event
    async def bye(sid):
        await sio.disconnect(sid)
else:
    sio = socketio.Server(async_mode="threading", logger=True, engineio_logger=True, async_handlers=False)
    app = socketio.WSGIApp(sio)

    @sio.event
    def ask(sid, *args):
        sio.enter_room(sid, "room")
        sio.emit("back", b"bytes", to="room", callback=lambda *answer: None)
        sio.leave_room(sid, "room")
        sio.close_room("room")
        return 1

    @sio.event
    def bye(sid):
        sio.disconnect(sid)


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    either.serve(app, os.environ["KIND"] == "async", log_level="error")
