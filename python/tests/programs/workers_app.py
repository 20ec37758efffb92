"""The program of the tests of several workers, for WSGI hosts, and for those of ASGI if `$KIND` is `asgi`."""

import os
import time

import kokanee

options = eval(os.environ.get("OPTIONS", "{}"))
is_async = os.environ.get("KIND") == "asgi"
sio = (kokanee.AsyncServer if is_async else kokanee.Server)(**options)


def say(*words):
    # One write, as processes write at the same time.
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def both(function):
    """Makes a handler of a generator: what it yields is awaited where that is needed."""
    if is_async:

        async def handler(*args):
            steps = function(*args)
            proceed, value = steps.send, None
            try:
                while True:
                    waits_for = proceed(value)
                    try:
                        proceed, value = steps.send, await waits_for
                    except Exception as error:
                        proceed, value = steps.throw, error
            except StopIteration as end:
                return end.value

    else:

        def handler(*args):
            steps = function(*args)
            value = None
            try:
                while True:
                    value = steps.send(value)
            except StopIteration as end:
                return end.value

    handler.__name__ = function.__name__
    return sio.on(function.__name__, handler)


@both
def connect(sid, environ, auth):
    say("connect", sid, os.getpid())
    yield sio.emit("welcome", os.getpid(), to=sid)


@both
def disconnect(sid, reason):
    say("disconnect", sid, os.getpid(), reason)
    if "LAST_WORDS" in os.environ:
        time.sleep(0.05)
        yield sio.emit("left", sid)


@both
def echo(sid, *args):
    return args
    yield


@both
def whoami(sid):
    return sid
    yield


@both
def where(sid):
    return [os.getpid(), sio._engine.other_workers()]
    yield


@both
def enter(sid, other, room):
    yield sio.enter_room(other, room)


@both
def leave(sid, other, room):
    yield sio.leave_room(other, room)


@both
def close(sid, room):
    yield sio.close_room(room)


@both
def shout(sid, to, skip, data):
    yield sio.emit("heard", (to, data), to=to, skip_sid=skip)


@both
def here(sid, data):
    yield sio.emit("heard", ("here", data), ignore_queue=True)


@both
def count(sid, to, number):
    for each in range(number):
        yield sio.emit("number", each, to=to)


@both
def ask(sid, to, data, timeout):
    try:
        answer = yield sio.call("question", data, to=to, timeout=timeout)
        return list(answer) if isinstance(answer, tuple) else answer
    except kokanee.exceptions.TimeoutError:
        return "timeout"


answers = []


@both
def ask_all(sid, room):
    answers.clear()
    yield sio.emit("question", "all", to=room, callback=lambda *args: answers.append(args))


@both
def answered(sid):
    return [[list(args) for args in answers], len(sio._callbacks)]
    yield


@both
def kick(sid, other):
    yield sio.disconnect(other)


@both
def fork(sid):
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    return child
    yield


@both
def die(sid):
    os.kill(os.getpid(), 9)
    yield


def hello(environ, start_response):
    text = b"hello"
    if environ["PATH_INFO"].endswith("/who"):
        length = len(environ["wsgi.input"].read())
        text = f"{os.getpid()} {environ.get('REMOTE_PORT')} {environ['wsgi.url_scheme']} {length}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


app = kokanee.ASGIApp(sio) if is_async else kokanee.WSGIApp(sio, hello)
