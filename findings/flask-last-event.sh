#!/usr/bin/env bash
# What: a client sends an event and leaves the namespace at once: EVENT and DISCONNECT in one long-polling POST, in this order.
# Versions: Flask-SocketIO 5.7.0 with Flask 3.1.3, python-socketio 5.18.1, python-engineio 4.15.1 on gevent 26.9.0 (PyPI), Python 3.11.
# Guess: the handler of the event is called, then that of the disconnection, as when 500 ms pass between the two.
# Seen: python-socketio starts a new greenlet for the event, which first runs after the disconnection has been handled: without Flask it
#   calls the two handlers in the wrong order. Flask-SocketIO, on the same server object, then looks up the client, finds that it has
#   disconnected, and never calls the event's handler: a client's last event is lost without an error.
# Output: four lines, as in `EXPECTED` below. Exits non-zero if they differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check Flask-SocketIO==5.7.0 Flask==3.1.3 python-socketio==5.18.1 \
  python-engineio==4.15.1 gevent==26.9.0
cat >server.py <<'PY'
from gevent import monkey
monkey.patch_all()

import sys
from gevent import pywsgi

def event(*args):
    print("event", flush=True)

def disconnected(*args):
    print("disconnect", flush=True)

if sys.argv[1] == "Flask-SocketIO":
    from flask import Flask
    from flask_socketio import SocketIO
    application = Flask(__name__)
    sio = SocketIO(application, async_mode="gevent")
    sio.on_event("event", event)
    sio.on_event("disconnect", disconnected)
else:
    import socketio
    sio = socketio.Server(async_mode="gevent")
    sio.on("event", event)
    sio.on("disconnect", disconnected)
    application = socketio.WSGIApp(sio)
server = pywsgi.WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
PY
cat >run.py <<'PY'
import json
import sys
import time
import urllib.request

def lines(host):
    with open(f"{host}.out", encoding="utf-8") as file:
        return file.read().split()

def request(url, body=None):
    headers = {"Content-Type": "text/plain;charset=UTF-8"}
    with urllib.request.urlopen(urllib.request.Request(url, body and body.encode(), headers), timeout=10) as answer:
        return answer.read().decode()

for host in ("python-socketio", "Flask-SocketIO"):
    end = time.monotonic() + 20
    while not lines(host) and time.monotonic() < end:
        time.sleep(0.1)
    polling = f"http://127.0.0.1:{lines(host)[0]}/socket.io/?EIO=4&transport=polling"
    for how in ("apart", "together"):
        session = f"{polling}&sid={json.loads(request(polling)[1:])['sid']}"
        request(session, "40")
        request(session)
        before = len(lines(host))
        if how == "together":
            request(session, '42["event"]\x1e41')
        else:
            request(session, '42["event"]')
            time.sleep(0.5)
            request(session, "41")
        time.sleep(1.5)
        print(f"{host}, {how}: {', '.join(lines(host)[before:])}", flush=True)
PY
for host in python-socketio Flask-SocketIO; do
  venv/bin/python server.py "$host" >"$host.out" &
done
timeout 60 venv/bin/python run.py | tee seen
diff seen - <<'EXPECTED'
python-socketio, apart: event, disconnect
python-socketio, together: disconnect, event
Flask-SocketIO, apart: event, disconnect
Flask-SocketIO, together: disconnect
EXPECTED
