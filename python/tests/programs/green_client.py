"""A client in a process that greenlets have patched: nothing of it may hold up the others."""

import importlib
import json
import os

mode = os.environ["MODE"]
if mode == "gevent":
    importlib.import_module("gevent.monkey").patch_all()
else:
    importlib.import_module("eventlet").monkey_patch()

import threading  # noqa: E402
import time  # noqa: E402

import kokanee  # noqa: E402

sio = kokanee.Client(reconnection=False)
ticks = 0
seen = []


def tick():
    global ticks
    while True:
        time.sleep(0.005)
        ticks += 1


@sio.event
def question(*args):
    time.sleep(0.1)
    seen.append(("echo within a handler", sio.call("echo", 1)))
    return args


@sio.event
def answered(*args):
    seen.append(("answered", args))


@sio.event
def disconnect(reason):
    seen.append(("disconnect", reason))


threading.Thread(target=tick, daemon=True).start()
sio.connect(os.environ["URL"])
sio.emit("ask_me", (1, 2))
before = ticks
while len(seen) < 2:
    time.sleep(0.01)
seen.append(("others went on", ticks - before >= 5))
try:
    sio.call("silence", timeout=0.2)
except kokanee.exceptions.TimeoutError:
    seen.append(("timeout", ticks - before >= 10))
sio.emit("kick")
sio.wait()
sio.connect(os.environ["URL"])
sio.disconnect()
print(json.dumps(seen))
