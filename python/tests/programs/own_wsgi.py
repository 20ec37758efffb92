"""A WSGI application for the tests of the package's own host: each path does one thing. It listens on `$PORT`, with `$OPTIONS`."""

import json
import os
import subprocess
import sys
import threading
import time

import kokanee

sio = kokanee.Server(async_mode="threading", cors_allowed_origins=json.loads(os.environ.get("ORIGINS", "null")))


def say(*words):
    sys.stdout.write(f"{' '.join(map(str, words))}\n")


class Pieces:
    """Iterates over pieces, and says when it is closed."""

    def __init__(self, *pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self):
        say("closed")


def environ(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    texts = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
    return [json.dumps(texts).encode()]


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def careful(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except OSError as error:
        start_response("422 No", [])
        return [str(error).encode()]


def lines(environ, start_response):
    found = [environ["wsgi.input"].readline(), environ["wsgi.input"].read(2), *environ["wsgi.input"]]
    start_response("200 OK", [])
    return [repr(found).encode()]


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Pieces(b"one", b"", b"two")


def declared(environ, start_response):
    start_response("200 OK", [("Content-Length", environ["QUERY_STRING"])])
    return Pieces(b"12345", b"67890")


def listed(environ, start_response):
    start_response("200 OK", [("Content-Length", environ["QUERY_STRING"])])
    return [b"1234567890"]


def write(environ, start_response):
    writes = start_response("200 OK", [])
    writes(b"written,")
    return [b"returned"]


def status(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), [("X-A", "1"), ("X-A", "2")])
    return [b"body"]


def bodiless(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), [("Content-Length", "4")])
    return [b"body"] if "listed" in environ["PATH_INFO"] else Pieces(b"bo", b"dy")


def replaced(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise ValueError("a reason")
    except ValueError:
        start_response("503 No", [("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


def too_late(environ, start_response):
    start_response("200 OK", [])(b"begun")
    try:
        raise ValueError("too late to replace")
    except ValueError:
        start_response("503 No", [], sys.exc_info())
    return [b"never"]


def twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"never"]


def fail(environ, start_response):
    raise ValueError("a failure in the application")


def fail_late(environ, start_response):
    start_response("200 OK", [])
    return Pieces(b"begun", ValueError("a failure in the middle"))


def fail_bad_header(environ, start_response):
    start_response("200 OK", [("X-A", "a\r\nSet-Cookie: b")])
    return [b"never"]


def file(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"), 1000)


def endless(environ, start_response):
    start_response("200 OK", [])

    def pieces():
        try:
            while True:
                yield b"x" * 65536
        finally:
            say("stopped")

    return pieces()


def trickle(environ, start_response):
    start_response("200 OK", [])
    for _ in range(int(environ["QUERY_STRING"])):
        yield b"x"
        time.sleep(0.1)


def slow(environ, start_response):
    say("slow begins")
    time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [])
    return [b"slow"]


def silent(environ, start_response):
    # Never calls start_response.
    return []


def pid(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]


def shut_down(environ, start_response):
    sio.shutdown()
    start_response("200 OK", [])
    return [b"shut down"]


def die(environ, start_response):
    os._exit(9)


def threads(environ, start_response):
    start_response("200 OK", [])
    return [str(threading.active_count()).encode()]


def groups(environ, start_response):
    # Of this process, and of one that it starts.
    program = "import kokanee; print(kokanee.doctor(kokanee.Server()).facts['Server']['workers'])"
    started = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    start_response("200 OK", [])
    return [json.dumps([kokanee.doctor(sio).facts["Server"]["workers"], started.strip()]).encode()]


PATHS = {function.__name__: function for function in (
    environ, echo, careful, lines, stream, declared, listed, write, status, bodiless, replaced, too_late, twice, fail, fail_late, fail_bad_header,
    file, endless, trickle, slow, silent, pid, shut_down, die, threads, groups,
)}  # fmt: skip


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0]
    return PATHS.get(name, PATHS["environ"])(environ, start_response)


app = kokanee.WSGIApp(sio, application)


def nested(environ, start_response):
    """Hides the server from the host."""
    return app(environ, start_response)


def make():
    return app


@sio.event
def connect(sid, environ):
    names = ("PATH_INFO", "REMOTE_ADDR", "HTTP_X_TEST", "wsgi.url_scheme", "SERVER_SOFTWARE")
    say("connect", json.dumps({name: environ.get(name) for name in names}))


@sio.event
def my_message(sid, data):
    sio.emit("back", data, to=sid)
    return data


@sio.event
def whoami(sid):
    return os.getpid(), sio.get_environ(sid)["REMOTE_ADDR"]


@sio.event
def disconnect(sid, reason):
    say("disconnect", reason)


if __name__ == "__main__":
    options = json.loads(os.environ.get("OPTIONS", "{}"))
    sio.run(application, port=int(os.environ["PORT"]), **options)
    say("returned")
