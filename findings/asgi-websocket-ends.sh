#!/usr/bin/env bash
# What: two ways to end a WebSocket on five ASGI hosts: the client closes with code 4002, and the application returns without closing.
# Versions: uvicorn 0.54.0 with websockets 17.4, hypercorn 0.18.0 with wsproto 1.3.2, daphne 4.2.3 with autobahn 26.10.2, granian 2.8.9,
#   gunicorn 27.0.1 (its ASGI worker), from PyPI; Python 3.11.
# Guess: the `websocket.disconnect` event carries the client's 4002, and so does the server's close frame; an application that returns is
#   a normal end, or an error, on all hosts alike.
# Seen: hypercorn reports a normal close as 1006 (connection lost), and daphne answers 4002 with 1000. When the application returns, the
#   client gets 1011, 1005 or no close frame at all (1006), depending on the host; on daphne the connection stays open.
# Output: one line for each host, as in `EXPECTED` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check uvicorn==0.54.0 websockets==17.4 hypercorn==0.18.0 wsproto==1.3.2 daphne==4.2.3 \
  autobahn==26.10.2 granian==2.8.9 gunicorn==27.0.1
cat >app.py <<'PY'
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "return":
            return
    with open(f"{os.environ['HOST']}.told", "w", encoding="utf-8") as file:
        file.write(str(event.get("code")))
PY
cat >run.py <<'PY'
import asyncio
import os
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
    await socket.close(4002)
    for _ in range(50):
        if os.path.exists(f"{host}.told") and os.path.getsize(f"{host}.told"):
            break
        await asyncio.sleep(0.1)
    with open(f"{host}.told", encoding="utf-8") as file:
        told = file.read()
    other = await opened(port)
    await other.send("return")
    try:
        async with asyncio.timeout(4):
            await other.wait_closed()
        returned = other.close_code
    except TimeoutError:
        returned = "stays open"
        other.transport.abort()
    return f"{host}: closes with 4002, application hears {told}, client {socket.close_code}; application returns, client {returned}"

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
  HOST=$host "${@//PORT/$port}" >>log 2>&1 &
}
start uvicorn venv/bin/uvicorn app:app --host 127.0.0.1 --port PORT --ws websockets
start hypercorn venv/bin/hypercorn app:app --bind 127.0.0.1:PORT
start daphne venv/bin/daphne --bind 127.0.0.1 --port PORT app:app
start granian venv/bin/granian --interface asgi --host 127.0.0.1 --port PORT app:app
start gunicorn venv/bin/gunicorn --worker-class asgi --bind 127.0.0.1:PORT --graceful-timeout 1 app:app
timeout 60 venv/bin/python run.py "${ports[@]}" | tee seen
diff seen - <<'EXPECTED'
uvicorn: closes with 4002, application hears 4002, client 4002; application returns, client 1006
hypercorn: closes with 4002, application hears 1006, client 4002; application returns, client 1011
daphne: closes with 4002, application hears 4002, client 1000; application returns, client stays open
granian: closes with 4002, application hears 4002, client 4002; application returns, client 1005
gunicorn: closes with 4002, application hears 4002, client 4002; application returns, client 1011
EXPECTED
