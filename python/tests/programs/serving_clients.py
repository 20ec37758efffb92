"""A server for clients under test, of either package."""

import importlib
import json
import logging
import os

from werkzeug.serving import run_simple

socketio = importlib.import_module(os.environ["PACKAGE"])


class Reversed(socketio.packet.Packet):
    """Writes packets from the end to the beginning."""

    def encode(self):
        encoded = super().encode()
        return [encoded[0][::-1], *encoded[1:]] if isinstance(encoded, list) else encoded[::-1]

    def decode(self, encoded_packet):
        return super().decode(encoded_packet[::-1])


options = json.loads(os.environ.get("OPTIONS", "{}"))
if os.environ.get("SERIALIZER") == "reversed":
    options["serializer"] = Reversed
options.setdefault("namespaces", ["/", "/other", "/locked"])
sio = socketio.Server(async_mode="threading", **options)


@sio.event
def connect(sid, environ, auth):
    print(f"connect {auth!r} token={environ.get('HTTP_X_TOKEN')} query={environ.get('QUERY_STRING')}", flush=True)
    if isinstance(auth, dict) and auth.get("welcome"):
        sio.start_background_task(sio.emit, "my_message", {"text": "hello", "bytes": b"\x01\x02"}, to=sid)


@sio.on("connect", namespace="/locked")
def connect_locked(sid, environ, auth):
    raise socketio.exceptions.ConnectionRefusedError("no entry", {"door": 7})


@sio.event
def disconnect(sid, reason):
    print(f"disconnect {reason}", flush=True)


@sio.on("my response")
def my_response(sid, data):
    print(f"response {data}", flush=True)
    sio.disconnect(sid)


@sio.event
def echo(sid, *args):
    return args


@sio.on("where", namespace="/other")
def where(sid):
    return "/other"


@sio.event
def ask_me(sid, *args):
    sio.emit("question", args, to=sid, callback=lambda *answer: sio.emit("answered", answer, to=sid))


@sio.event
def send_me(sid, count):
    for number in range(count):
        sio.emit("number", number, to=sid)


@sio.event
def headers(sid):
    return {name: value for name, value in sio.get_environ(sid).items() if name.startswith("HTTP_")}


@sio.event
def kick(sid):
    sio.disconnect(sid)


@sio.event
def silence(sid):
    sio.sleep(60)


logging.getLogger("werkzeug").setLevel(logging.ERROR)
tls = tuple(os.environ["TLS"].split(":")) if "TLS" in os.environ else None
run_simple("127.0.0.1", int(os.environ["PORT"]), socketio.WSGIApp(sio), threaded=True, ssl_context=tls)
