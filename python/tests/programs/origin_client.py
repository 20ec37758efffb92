"""The client of the origin's listing, verbatim but for its first line and the URL."""

import importlib
import os

socketio = importlib.import_module(os.environ["PACKAGE"])

sio = socketio.Client()


@sio.event
def connect():
    print("connection established", flush=True)


@sio.event
def my_message(data):
    print("message received with ", data, flush=True)
    sio.emit("my response", {"response": "my response"})


@sio.event
def disconnect():
    print("disconnected from server", flush=True)


sio.connect(os.environ["URL"])
sio.wait()
