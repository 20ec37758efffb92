"""Flask-SocketIO on gevent or on threads, where each event has a greenlet or thread of its own, with the events that
events.mjs lists. With `--run` it is on the host that it chooses."""

import argparse
import collections
import sys
import threading

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, default=0)
options.add_argument("--transports", default="polling,websocket")
options.add_argument("--ping-interval", type=int, default=25_000)
options.add_argument("--threads", action="store_true")
options.add_argument("--run", action="store_true")
options = options.parse_args()

if not options.threads:
    from gevent import monkey

    monkey.patch_all()

import flask  # noqa: E402
import flask_socketio  # noqa: E402

TOKEN = "kokanee"

app = flask.Flask(__name__)
sio = flask_socketio.SocketIO(
    app,
    async_mode="threading" if options.threads else "gevent",
    transports=options.transports.split(","),
    ping_interval=options.ping_interval / 1000,
    max_http_buffer_size=2_000_000,
)

# How often each key was noted.
notes: collections.Counter[str] = collections.Counter()
numbers: dict[str, dict] = {}
auths: dict[str, object] = {}


class Events(flask_socketio.Namespace):
    """The events of one namespace."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Names with a space cannot be methods.
        sio.on_event("call me", self.call_me, namespace=name)
        sio.on_event("disconnect me", self.disconnect_me, namespace=name)

    def on_connect(self, auth: object = None) -> None:
        if self.namespace == "/private" and (not isinstance(auth, dict) or auth.get("token") != TOKEN):
            raise flask_socketio.ConnectionRefusedError("not authorized", {"code": 401, "hint": "say the token"})
        numbers[flask.request.sid] = {"received": 0, "error": None}
        auths[flask.request.sid] = auth

    def on_disconnect(self, reason: str) -> None:
        notes[f"disconnect {self.namespace} {reason}"] += 1

    def on_echo(self, *args: object) -> tuple[object, ...]:
        return args

    def on_say(self, *args: object) -> None:
        flask_socketio.emit("said", args)

    def on_burst(self, count: int) -> tuple[()]:
        for number in range(count):
            flask_socketio.emit("number", number)
        return ()

    def on_number(self, number: int) -> None:
        noted = numbers[flask.request.sid]
        if number != noted["received"] and noted["error"] is None:
            noted["error"] = f"{number} instead of {noted['received']}"
        noted["received"] = number + 1

    def on_report(self) -> dict:
        return numbers[flask.request.sid]

    def on_note(self, key: str) -> None:
        notes[key] += 1

    def on_noted(self, key: str) -> int:
        return notes[key]

    def on_transport(self) -> str:
        return sio.server.transport(flask.request.sid, namespace=self.namespace)

    def on_handshake(self) -> dict:
        environ = sio.server.get_environ(flask.request.sid, namespace=self.namespace)
        headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        query = dict(part.partition("=")[::2] for part in environ["QUERY_STRING"].split("&"))
        return {"auth": auths[flask.request.sid], "query": query, "headers": headers}

    def call_me(self, name: str, *args: object) -> None:
        sid = flask.request.sid

        def answered(*answer: object) -> None:
            sio.emit("answered", answer, to=sid, namespace=self.namespace)

        flask_socketio.emit(name, args, callback=answered)

    def disconnect_me(self, close: bool = False) -> None:
        flask_socketio.disconnect()


for namespace in ("/", "/chat", "/private"):
    sio.on_namespace(Events(namespace))

# The test ends the server by closing its standard input.
if options.run:
    sio.run(app, host="127.0.0.1", port=options.port)
elif options.threads:
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", options.port, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"listening {server.server_port}", flush=True)
    sys.stdin.read()
    server.shutdown()
else:
    from gevent.fileobject import FileObject
    from gevent.pywsgi import WSGIServer
    from geventwebsocket.handler import WebSocketHandler

    server = WSGIServer(("127.0.0.1", options.port), app, handler_class=WebSocketHandler, log=None)
    server.start()
    print(f"listening {server.server_port}", flush=True)
    FileObject(sys.stdin.buffer).read()
    server.stop(timeout=1)
