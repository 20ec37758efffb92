"""A server whose application handles connections itself: `$KIND` = sync or async, by `$PACKAGE`, set in the way `$WHICH`."""

import json
import os

import either

if os.environ["PACKAGE"] == "kokanee":
    import kokanee

    kokanee.install_as_socketio()

import socketio

IS_ASYNC = os.environ["KIND"] == "async"
WHICH = os.environ["WHICH"]


def seen(what, value):
    print("SEEN", json.dumps([what, repr(value)]), flush=True)


def is_wanted(environ):
    return "refuse" not in environ["QUERY_STRING"]


base = socketio.AsyncServer if IS_ASYNC else socketio.Server

if IS_ASYNC:

    class Seeing(base):
        async def _handle_eio_connect(self, eio_sid, environ):
            seen("connect", environ["PATH_INFO"])
            return await super()._handle_eio_connect(eio_sid, environ)

        async def _handle_eio_message(self, eio_sid, data):
            seen("message", data)
            await super()._handle_eio_message(eio_sid, data)

        async def _handle_eio_disconnect(self, eio_sid, reason):
            seen("disconnect", reason)
            await super()._handle_eio_disconnect(eio_sid, reason)

    def around(what, original, value_of):
        async def handler(eio_sid, value):
            seen(what, value_of(value))
            if what == "connect" and not is_wanted(value):
                return False
            result = await original(eio_sid, value)
            if what == "connect" and WHICH == "joining":
                await sio._handle_connect(eio_sid, "/", None)
            return result

        return handler
else:

    class Seeing(base):
        def _handle_eio_connect(self, eio_sid, environ):
            seen("connect", environ["PATH_INFO"])
            return super()._handle_eio_connect(eio_sid, environ)

        def _handle_eio_message(self, eio_sid, data):
            seen("message", data)
            super()._handle_eio_message(eio_sid, data)

        def _handle_eio_disconnect(self, eio_sid, reason):
            seen("disconnect", reason)
            super()._handle_eio_disconnect(eio_sid, reason)

    def around(what, original, value_of):
        def handler(eio_sid, value):
            seen(what, value_of(value))
            if what == "connect" and not is_wanted(value):
                return False
            result = original(eio_sid, value)
            if what == "connect" and WHICH == "joining":
                sio._handle_connect(eio_sid, "/", None)
            return result

        return handler


options = {"async_mode": "asgi" if IS_ASYNC else "threading", "async_handlers": False}
sio = Seeing(**options) if WHICH == "subclass" else base(**options)
app = socketio.ASGIApp(sio) if IS_ASYNC else socketio.WSGIApp(sio)
for what in ("connect", "message", "disconnect") if WHICH != "subclass" else ():
    value_of = (lambda environ: environ["PATH_INFO"]) if what == "connect" else (lambda value: value)
    handler = around(what, sio.eio.handlers[what], value_of)
    if WHICH in ("on", "joining"):
        sio.eio.on(what, handler)
    else:
        sio.eio.handlers[what] = handler


@sio.event
def connect(sid, environ, auth):
    print("JOINED", auth, flush=True)


@sio.event
def ask(sid, *args):
    return "one", b"two", list(args)


if __name__ == "__main__":
    either.serve(app, IS_ASYNC, log_level="error")
