#!/usr/bin/env bash
# What: a client sends an empty text message, an empty binary message and the text "end", and the application answers with an empty text
#   and an empty binary message, on three ASGI servers. RFC 6455 allows messages without content; an empty attachment of Socket.IO is one.
# Versions: daphne 4.2.3 with autobahn 26.10.2, hypercorn 0.18.0 with wsproto 1.3.2, uvicorn 0.54.0 with websockets 17.4, from PyPI;
#   Python 3.11. granian 2.8.9 and the ASGI worker of gunicorn 27.0.1 do the same as hypercorn and uvicorn.
# Guess: all messages arrive, on each host.
# Seen: daphne sends none of the application's empty messages; the content decides there which kind of frame is sent. An event with an
#   empty attachment is then never complete: its text arrives, and the client waits for the rest.
# Output: one line for each host, as in `EXPECTED` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check daphne==4.2.3 autobahn==26.10.2 hypercorn==0.18.0 wsproto==1.3.2 \
  uvicorn==0.54.0 websockets==17.4
cat >app.py <<'PY'
async def app(scope, receive, send):
    assert scope["type"] == "websocket"
    got = []
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
            continue
        got.append(event["bytes"] if event.get("bytes") is not None else event["text"])
        if got[-1] == "end":
            for answer in ({"text": ""}, {"bytes": b""}, {"text": f"the application got {got}"}):
                await send({"type": "websocket.send", **answer})
PY
cat >run.py <<'PY'
import socket
import subprocess
import time
from websockets.sync.client import connect

HOSTS = {
    "daphne": "daphne --bind 127.0.0.1 --port {port} app:app",
    "hypercorn": "hypercorn --bind 127.0.0.1:{port} app:app",
    "uvicorn": "uvicorn --host 127.0.0.1 --port {port} --ws websockets app:app",
}

def conversation(port):
    deadline = time.monotonic() + 20
    while True:
        try:
            client = connect(f"ws://127.0.0.1:{port}", proxy=None)
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with client:
        for message in ("", b"", "end"):
            client.send(message)
        answers = []
        while not answers or not answers[-1]:
            answers.append(client.recv(10))
    return f"{answers[-1]}, the client {answers[:-1]}"

for host, command in HOSTS.items():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open("log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(f"venv/bin/{command.format(port=port)}".split(), stdout=log, stderr=log)
    try:
        print(f"{host}: {conversation(port)}", flush=True)
    finally:
        process.kill()
PY
timeout 60 venv/bin/python run.py | tee seen
diff seen - <<'EXPECTED'
daphne: the application got ['', b'', 'end'], the client []
hypercorn: the application got ['', b'', 'end'], the client ['', b'']
uvicorn: the application got ['', b'', 'end'], the client ['', b'']
EXPECTED
