"""The program of the tests of hosts: `app` is what a host runs, `$MODE` the mode, `$PACKAGE` whose Socket.IO it is."""

import importlib
import os
import sys
import threading
import time

socketio = importlib.import_module(os.environ.get("PACKAGE", "kokanee"))
ours = os.environ.get("PACKAGE", "kokanee") == "kokanee"
options = eval(os.environ.get("OPTIONS", "{}"))
sio = socketio.Server(async_mode=os.environ.get("MODE") or None, **options)
gate = threading.Event()
if ours and os.environ.get("IDLE"):
    sio._mode.idle_seconds = float(os.environ["IDLE"])


def say(*words):
    # One write, as threads write at the same time.
    sys.stdout.write(f"{' '.join(map(str, words))}\n")


def hello(environ, start_response):
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Length", "300000")])
        return [b"x" * 300_000]
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


app = socketio.WSGIApp(sio, hello)


@sio.event
def connect(sid, environ, auth):
    say("connect", sid)
    if isinstance(auth, dict) and auth.get("refuse"):
        raise socketio.exceptions.ConnectionRefusedError("no", {"code": 7})


@sio.event
def my_message(sid, data):
    sio.emit("back", data, to=sid)
    return data


@sio.event
def echo(sid, *args):
    return args


@sio.event
def later(sid, seconds):
    sio.start_background_task(_later, sid, seconds)


def _later(sid, seconds):
    sio.sleep(seconds)
    sio.emit("later", "now", to=sid)


@sio.event
def to_all(sid):
    sio.emit("later", "now", skip_sid=sid)


@sio.event
def block(sid, seconds=None):
    say("blocked")
    if os.environ.get("MODE") in ("eventlet", "gevent"):
        while not gate.is_set():
            sio.sleep(0.02)
    else:
        gate.wait(30)
    return "released"


@sio.event
def release(sid):
    gate.set()


@sio.event
def threads(sid):
    return sio._mode.thread_count


@sio.event
def pid(sid):
    return os.getpid()


@sio.event
def leave_program(sid):
    raise SystemExit(3)


@sio.event
def connections(sid):
    return len(sio.environ)


@sio.event
def shut_down(sid):
    sio.start_background_task(_shut_down)


def _shut_down():
    sio.shutdown()
    say("was shut down")


@sio.event
def numbers(sid, number):
    time.sleep(0.002 if number % 2 else 0)
    sio.emit("number", number, to=sid)


@sio.event
def disconnect(sid, reason):
    say("disconnect", sid, reason)
