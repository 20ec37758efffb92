"""The demo: a chat on Python's own web server, without any other package.

    python python/examples/demo.py
"""

import os
import pathlib
import socketserver
from typing import Any
from wsgiref import simple_server

import kokanee

PAGE = pathlib.Path(__file__).parent / "page"

sio = kokanee.Server()
app = kokanee.WSGIApp(sio, static_files={"/": f"{PAGE}/"})


@sio.event
def connect(sid: str, environ: dict[str, Any]) -> None:
    print("connect", sid)


@sio.event
def my_message(sid: str, data: Any) -> Any:
    sio.emit("back", data)
    return data


@sio.event
def disconnect(sid: str, reason: str) -> None:
    print("disconnect", sid, reason)


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Answers each request on a thread of its own."""

    daemon_threads = True


class Quiet(simple_server.WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "5000"))
    with simple_server.make_server("127.0.0.1", port, app, Server, Quiet) as server:
        print(f"open http://127.0.0.1:{port}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
