"""A server of files, which knows nothing of Socket.IO."""

import argparse
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, default=0)
options = options.parse_args()


class Handler(SimpleHTTPRequestHandler):
    """Serves an empty folder and says nothing about it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args, directory=folder)

    def log_message(self, *args: object) -> None:
        pass


with tempfile.TemporaryDirectory() as folder, ThreadingHTTPServer(("127.0.0.1", options.port), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"listening {server.server_address[1]}", flush=True)
    # The test ends the server by closing its standard input.
    sys.stdin.read()
    server.shutdown()
