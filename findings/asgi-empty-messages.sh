#!/usr/bin/env bash
# What: a client sends an empty text message, an empty binary message and the text "end", and the application answers with an empty text
#   and an empty binary message, on six ASGI servers. RFC 6455 allows messages without content; an empty attachment of Socket.IO is one.
# Versions: uvicorn 0.54.0 with websockets 17.4 and wsproto 1.3.2, hypercorn 0.18.0, daphne 4.2.3 with autobahn 26.10.2, granian 2.8.9,
#   gunicorn 27.0.1 (its ASGI worker), from PyPI; Python 3.11.
# Guess: all messages arrive, on each host.
# Seen: daphne sends none of the application's empty messages; the content decides there which kind of frame is sent. An event with an
#   empty attachment is then never complete: its text arrives, and the client waits for the rest.
# Output: one line for each host, as in `EXPECTED` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check uvicorn==0.54.0 websockets==17.4 hypercorn==0.18.0 wsproto==1.3.2 daphne==4.2.3 \
  autobahn==26.10.2 granian==2.8.9 gunicorn==27.0.1
cat >app.py <<'PY'
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return
    await receive()
    await send({"type": "websocket.accept"})
    got = []
    while (event := await receive())["type"] == "websocket.receive":
        text, data = event.get("text"), event.get("bytes")
        got.append(data if data is not None else text)
        if text == "end":
            await send({"type": "websocket.send", "text": ""})
            await send({"type": "websocket.send", "bytes": b""})
            await send({"type": "websocket.send", "text": f"the application got {got}"})
PY
cat >run.py <<'PY'
import asyncio
import sys
from websockets.asyncio.client import connect

async def opened(port):
    for _ in range(150):
        try:
            return await connect(f"ws://127.0.0.1:{port}", proxy=None)
        except OSError:
            await asyncio.sleep(0.2)
    sys.exit(f"port {port} does not answer")

async def attempt(host, port):
    socket = await opened(port)
    for message in ("", b"", "end"):
        await socket.send(message)
    seen = []
    while not seen or not seen[-1]:
        seen.append(await asyncio.wait_for(socket.recv(), 10))
    socket.transport.abort()
    return f"{host}: {seen[-1]}, the client {seen[:-1]}"

async def main():
    arguments = sys.argv[1:]
    for line in await asyncio.gather(*map(attempt, arguments[::2], arguments[1::2])):
        print(line)

asyncio.run(main())
PY
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ports=()
start() {
  local host=$1 port
  port=$(free)
  shift
  ports+=("$host" "$port")
  "${@//PORT/$port}" >>log 2>&1 &
}
start uvicorn-websockets venv/bin/uvicorn app:app --host 127.0.0.1 --port PORT --ws websockets
start uvicorn-wsproto venv/bin/uvicorn app:app --host 127.0.0.1 --port PORT --ws wsproto
start hypercorn venv/bin/hypercorn app:app --bind 127.0.0.1:PORT
start daphne venv/bin/daphne --bind 127.0.0.1 --port PORT app:app
start granian venv/bin/granian --interface asgi --host 127.0.0.1 --port PORT app:app
start gunicorn venv/bin/gunicorn --worker-class asgi --bind 127.0.0.1:PORT --graceful-timeout 1 app:app
timeout 60 venv/bin/python run.py "${ports[@]}" | tee seen
diff seen - <<'EXPECTED'
uvicorn-websockets: the application got ['', b'', 'end'], the client ['', b'']
uvicorn-wsproto: the application got ['', b'', 'end'], the client ['', b'']
hypercorn: the application got ['', b'', 'end'], the client ['', b'']
daphne: the application got ['', b'', 'end'], the client []
granian: the application got ['', b'', 'end'], the client ['', b'']
gunicorn: the application got ['', b'', 'end'], the client ['', b'']
EXPECTED
