#!/usr/bin/env bash
# What: a compressed text message in two fragments with a ping between them, to WebSocket servers that echo. RFC 6455, 5.4 allows control
#   frames between fragments, and RFC 7692, 6.1 sets RSV1 on the first fragment only.
# Versions: tornado 6.6.1, wsproto 1.3.2 under uvicorn 0.54.0, websockets 17.4, aiohttp 3.14.5 (PyPI), Python 3.11.
# Guess: all answer with a pong and the message, as they do without the ping.
# Seen: tornado and wsproto keep the flag "this message is compressed" from frame to frame, and the ping, which is not compressed, resets
#   it. They then read the compressed bytes as text, find that it is not UTF-8, and end the connection without a close frame. This happens
#   to a client whose keep-alive ping is sent during a large message. websockets and aiohttp echo the message.
# Output: two lines for each server, as in `EXPECTED` below. Exits non-zero if they differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tornado==6.6.1 uvicorn==0.54.0 wsproto==1.3.2 websockets==17.4 aiohttp==3.14.5
cat >run.py <<'PY'
import asyncio
import logging
import os
import socket
import struct
import zlib
import tornado.httpserver
import tornado.web
import tornado.websocket
import uvicorn
from aiohttp import web
from websockets.asyncio.server import serve

logging.disable(logging.CRITICAL)

def listener():
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    made.setblocking(False)
    return made

class Echo(tornado.websocket.WebSocketHandler):
    def get_compression_options(self):
        return {}

    def on_message(self, message):
        self.write_message(message)

async def asgi(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})

async def with_websockets(connection):
    async for message in connection:
        await connection.send(message)

async def with_aiohttp(request):
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    async for message in answer:
        await answer.send_str(message.data)
    return answer

def frame(opcode, payload, fin=True, compressed=False):
    first = (0x80 if fin else 0) | (0x40 if compressed else 0) | opcode
    return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload

def compress(text):
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]

async def exchange(port, sent):
    """Sends the frames and names those that come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyEhIQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"permessage-deflate" in head, head
    writer.write(sent)
    seen = []
    inflate = zlib.decompressobj(wbits=-15)
    try:
        async with asyncio.timeout(3):
            while True:
                first, length = await reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack(">H", await reader.readexactly(2))
                payload = await reader.readexactly(length)
                if first & 0x40:
                    payload = inflate.decompress(payload + b"\0\0\xff\xff")
                if first & 15 == 8:
                    seen.append(f"close {struct.unpack('>H', payload[:2])[0]}")
                else:
                    seen.append({1: "text", 10: "pong"}[first & 15] + f" of {len(payload)} bytes")
    except TimeoutError:
        seen.append("open")
    except (asyncio.IncompleteReadError, ConnectionError):
        seen.append("ended")
    writer.close()
    return ", ".join(seen)

async def main():
    listeners = {name: listener() for name in ("tornado", "wsproto", "websockets", "aiohttp")}
    tornado.httpserver.HTTPServer(tornado.web.Application([("/", Echo)])).add_sockets([listeners["tornado"]])
    config = uvicorn.Config(asgi, ws="wsproto", lifespan="off", log_level="critical")
    running = asyncio.create_task(uvicorn.Server(config).serve(sockets=[listeners["wsproto"]]))
    other = await serve(with_websockets, sock=listeners["websockets"])
    application = web.Application()
    application.router.add_get("/", with_aiohttp)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.SockSite(runner, listeners["aiohttp"]).start()
    text = b"in two fragments, " * 4
    halves = compress(text)[:9], compress(text)[9:]
    start, end = frame(1, halves[0], fin=False, compressed=True), frame(0, halves[1])
    for name, made in listeners.items():
        port = made.getsockname()[1]
        print(f"{name}, fragments: {await exchange(port, start + end)}")
        print(f"{name}, ping between: {await exchange(port, start + frame(9, b'ping') + end)}", flush=True)
    # The servers end with the process.
    os._exit(0)

asyncio.run(main())
PY
timeout 60 venv/bin/python run.py | tee seen
diff seen - <<'EXPECTED'
tornado, fragments: text of 72 bytes, open
tornado, ping between: pong of 4 bytes, ended
wsproto, fragments: text of 72 bytes, open
wsproto, ping between: pong of 4 bytes, ended
websockets, fragments: text of 72 bytes, open
websockets, ping between: pong of 4 bytes, text of 72 bytes, open
aiohttp, fragments: text of 72 bytes, open
aiohttp, ping between: pong of 4 bytes, text of 72 bytes, open
EXPECTED
