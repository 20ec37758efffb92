#!/usr/bin/env bash
# What: a client sends messages and the close frame of its WebSocket, 300 ms apart or in one write, which TCP delivers in one read. The
#   application reads messages until there are no more.
# Versions: sanic 25.12.1, websockets 17.4, aiohttp 3.14.5, from PyPI; Python 3.11.
# Guess: the application gets all messages that came before the close frame, in both cases, as with websockets and aiohttp.
# Seen: on Sanic the application gets the first message or none. Sanic holds one message until the application asks for it. If the close
#   frame has been read by then, the request for a message fails although one is there, as at a normal end: nothing says that messages
#   were lost, and the client gets the code of a normal end, too.
# Output: two lines for each server, as in `EXPECTED` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sanic==25.12.1 websockets==17.4 aiohttp==3.14.5
cat >server.py <<'PY'
import asyncio
import contextlib
import socket
import sys

def ended(got):
    print(",".join(got), flush=True)

def sanic(listener):
    from sanic import Sanic
    app = Sanic("server", log_config={"version": 1})

    @app.websocket("/")
    async def feed(request, connection):
        got = []
        try:
            async for message in connection:
                got.append(message)
        finally:
            ended(got)

    app.run(sock=listener, single_process=True, access_log=False, motd=False)

def websockets(listener):
    from websockets.asyncio.server import serve

    async def feed(connection):
        got = []
        async for message in connection:
            got.append(message)
        ended(got)

    async def main():
        async with serve(feed, sock=listener):
            await asyncio.Future()

    asyncio.run(main())

def aiohttp(listener):
    from aiohttp import web

    async def feed(request):
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        ended([message.data async for message in connection])
        return connection

    app = web.Application()
    app.router.add_get("/", feed)
    web.run_app(app, sock=listener, print=None)

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
with contextlib.suppress(KeyboardInterrupt):
    globals()[sys.argv[1]](listener)
PY
cat >run.py <<'PY'
import socket
import struct
import sys
import time

def lines(server, count):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(f"{server}.out", encoding="utf-8") as file:
            found = file.read().split("\n")[:-1]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    sys.exit(f"{server} has written {found}")

def frame(opcode, data):
    # The mask is zero.
    return bytes([0x80 | opcode, 0x80 | len(data)]) + bytes(4) + data

def opened(port):
    connection = socket.create_connection(("127.0.0.1", port), 20)
    connection.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1) or sys.exit(f"no WebSocket: {head}")
    return connection

def attempt(server, how, known):
    with opened(int(lines(server, 1)[0])) as connection:
        frames = [frame(1, b"one"), frame(1, b"two"), frame(1, b"three"), frame(8, struct.pack("!H", 1000))]
        if how == "apart":
            for each in frames:
                connection.sendall(each)
                time.sleep(0.3)
        else:
            connection.sendall(b"".join(frames))
        (code,) = struct.unpack("!H", connection.recv(100)[2:4])
    got = lines(server, known + 1)[known]
    what = "all messages" if got == "one,two,three" else "not all messages"
    print(f"{server}, {how}: the application got {what}, the client code {code}", flush=True)

for server in sys.argv[1:]:
    attempt(server, "apart", 1)
    attempt(server, "in one write", 2)
PY
for server in websockets aiohttp sanic; do
  venv/bin/python server.py "$server" >"$server.out" 2>>log &
done
timeout 60 venv/bin/python run.py websockets aiohttp sanic | tee seen
diff seen - <<'EXPECTED'
websockets, apart: the application got all messages, the client code 1000
websockets, in one write: the application got all messages, the client code 1000
aiohttp, apart: the application got all messages, the client code 1000
aiohttp, in one write: the application got all messages, the client code 1000
sanic, apart: the application got all messages, the client code 1000
sanic, in one write: the application got not all messages, the client code 1000
EXPECTED
