"""What lets one script use the clients of both kinds and both packages: `$KIND` is sync or async, `$PACKAGE` names the package.

With `$PATCH` the process is patched by gevent or eventlet.

A script is a coroutine function. With blocking clients its coroutine never waits: what it calls has the result when it returns.
"""

import os

if os.environ.get("PATCH") == "gevent":
    import gevent.monkey

    gevent.monkey.patch_all()
elif os.environ.get("PATCH") == "eventlet":
    import eventlet

    eventlet.monkey_patch()

import asyncio
import faulthandler
import functools
import importlib
import inspect
import time

PACKAGE = os.environ.get("PACKAGE", "kokanee")
IS_ASYNC = os.environ.get("KIND", "sync") == "async"
LIMIT = 20
socketio = importlib.import_module(PACKAGE)
errors = importlib.import_module(f"{PACKAGE}.exceptions")
Client = socketio.AsyncClient if IS_ASYNC else socketio.Client
SimpleClient = socketio.AsyncSimpleClient if IS_ASYNC else socketio.SimpleClient
ClientNamespace = socketio.AsyncClientNamespace if IS_ASYNC else socketio.ClientNamespace


async def do(value):
    """Returns what a method of a client has returned, or what its coroutine gives."""
    return await value if inspect.isawaitable(value) else value


def finish(coroutine):
    """Returns what a coroutine gives that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def handler(function):
    """Returns a coroutine function as the handler of the client's kind."""
    if IS_ASYNC:
        return function

    @functools.wraps(function)
    def blocking(*args, **options):
        return finish(function(*args, **options))

    return blocking


async def pause(seconds):
    if IS_ASYNC:
        await asyncio.sleep(seconds)
    else:
        time.sleep(seconds)


async def until(question):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + LIMIT
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not come"
        await pause(0.005)
    return answer


def show(value):
    """Returns a value as one that JSON has."""
    if isinstance(value, (bytes, bytearray)):
        return f"bytes {value.hex()}"
    if isinstance(value, tuple):
        return ["tuple", *map(show, value)]
    if isinstance(value, list):
        return [show(item) for item in value]
    if isinstance(value, dict):
        return {key: show(item) for key, item in value.items()}
    return value


def main(script):
    """Runs a script, and says where it stands if it does not end."""
    faulthandler.dump_traceback_later(float(os.environ.get("SECONDS", 90)), exit=True)
    if IS_ASYNC:
        asyncio.run(script)
    else:
        finish(script)
