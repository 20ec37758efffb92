"""A server on the package's own host whose handlers fail, are replaced, and answer in all ways."""

import logging
import os
import sys

import kokanee

sio = kokanee.Server(async_mode="threading", async_handlers=os.environ["ASYNC_HANDLERS"] == "1")


@sio.event
def ask(sid, *args):
    return args


@sio.event
def fail(sid, text):
    raise ValueError(text)


@sio.event
def write(sid):
    return object()


@sio.event
def leave(sid):
    sys.exit("as any thread")


@sio.event
def silent(sid):
    return sio.not_handled


@sio.event
def replace(sid):
    sio.on("ask", lambda sid, *args: ["replaced", *args])


@sio.event
def intercept(sid):
    original = sio._trigger_event

    def trigger(event, namespace, *args):
        return ["seen", event] if event == "ask" else original(event, namespace, *args)

    sio._trigger_event = trigger


@sio.event
def restore(sid):
    del sio._trigger_event


@sio.event
def log(sid, level):
    sio.logger.setLevel(level)


@sio.on("*")
def others(event, sid, *args):
    return [event, *args]


logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
sio.logger.setLevel(logging.ERROR)
sio.run(port=int(os.environ["PORT"]))
