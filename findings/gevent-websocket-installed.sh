#!/usr/bin/env bash
# What: a server of python-socketio on gevent's own `pywsgi`, twice with the same program: in an environment without gevent-websocket, and
#   with it installed but used nowhere. A client opens a WebSocket.
# Versions: python-socketio 5.18.1, python-engineio 4.15.1, simple-websocket 1.1.0, gevent 26.9.0, gevent-websocket 0.10.1, from PyPI;
#   Python 3.11.
# Guess: a package that no program imports changes nothing.
# Seen: python-socketio uses gevent-websocket wherever it can be imported, also on a host that does not run its handler; that host's
#   request then lacks what the package wants, and every WebSocket gets 500. Clients stay on long-polling.
# Output: two lines, as in `EXPECTED` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-socketio==5.18.1 python-engineio==4.15.1 simple-websocket==1.1.0 gevent==26.9.0
cat >server.py <<'PY'
import socketio
from gevent import pywsgi

app = socketio.WSGIApp(socketio.Server(async_mode="gevent"))
server = pywsgi.WSGIServer(("127.0.0.1", 0), app, log=None)
server.start()
with open("port", "w", encoding="utf-8") as file:
    file.write(str(server.server_port))
server.serve_forever()
PY
cat >client.py <<'PY'
import socket, sys

with open("port", encoding="utf-8") as file:
    port = int(file.read())
with socket.create_connection(("127.0.0.1", port), 10) as connection:
    connection.sendall(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    print(f"{sys.argv[1]}: {connection.makefile('rb').readline().decode().strip()}")
PY
attempt() {
  rm -f port
  venv/bin/python server.py 2>>log &
  for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
  timeout 20 venv/bin/python client.py "$1"
  kill $!
  wait $! 2>/dev/null || true
}
{
  attempt "without gevent-websocket"
  venv/bin/pip install --quiet --disable-pip-version-check gevent-websocket==0.10.1
  attempt "with gevent-websocket"
} | tee seen
diff seen - <<'EXPECTED'
without gevent-websocket: HTTP/1.1 101 Switching Protocols
with gevent-websocket: HTTP/1.1 500 Internal Server Error
EXPECTED
