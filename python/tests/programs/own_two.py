"""Two hosts in one process: one on the main thread, which ends at SIGTERM, and one on another thread, which goes on."""

import json
import os
import socket
import sys
import threading
import time

import kokanee


def say(*words):
    sys.stdout.write(f"{' '.join(map(str, words))}\n")


def application(environ, start_response):
    start_response("200 OK", [])
    return [b"a page"]


def serve(port):
    sio = kokanee.Server(async_mode="threading")
    sio.on("echo", lambda sid, *args: args)
    sio.run(application, port=port)


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    other = probe.getsockname()[1]
threading.Thread(target=serve, args=(other,), daemon=True).start()
say("ports", json.dumps([int(os.environ["PORT"]), other]))
serve(int(os.environ["PORT"]))
say("the first has ended")
time.sleep(60)
