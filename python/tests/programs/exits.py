"""Programs that end in several ways with clients connected: `python exits.py HOW`."""

import os
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import kokanee as socketio

how = sys.argv[1]
sio = socketio.Server(async_mode="threading")
held = threading.Event()


@sio.event
def block(sid):
    entered.set()
    held.wait()


entered = threading.Event()


class Silent(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def serve():
    server = make_server("127.0.0.1", 0, socketio.WSGIApp(sio), handler_class=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def use():
    import websocket

    port = serve()
    client = websocket.create_connection(
        f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", timeout=10
    )
    assert client.recv().startswith("0")
    client.send("40")
    assert client.recv().startswith("40")
    return client


if how == "fork-unused":
    # Import and construction start nothing, so that a child can use what the parent has made.
    child = os.fork()
    client = use()
    if child:
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status))
elif how == "fork":
    # A child of a process that uses the engine begins afresh.
    client = use()
    child = os.fork()
    if child == 0:
        second = use()
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    client.send('42["nothing"]')
    sys.exit(os.waitstatus_to_exitcode(status))
elif how == "busy":
    client = use()
    for _ in range(5):
        client.send('42["block"]')
    entered.wait(10)
elif how == "no-clients":
    serve()
else:
    client = use()
    if how == "sys-exit":
        sys.exit(3)
    if how == "exception":
        raise RuntimeError("the end")
