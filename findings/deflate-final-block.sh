#!/usr/bin/env bash
# What: three compressed text messages, the first of which ends with a final block (BFINAL), to WebSocket servers that echo. RFC 7692
#   allows that (7.2.3.4 has an example, with the zero byte that follows), and each message can be inflated by itself.
# Versions: tornado 6.6.1, wsproto 1.3.2 under uvicorn 0.54.0, websockets 17.4, aiohttp 3.14.5 (PyPI), Python 3.11.
# Guess: all three messages come back, as they do without the final block.
# Seen: after a final block, zlib's decompressor is at its end and returns nothing for later input. tornado and websockets keep the
#   context between messages and continue with it: the second and the third message arrive as empty messages, without an error. wsproto
#   closes the connection. aiohttp starts a new decompressor and echoes all three.
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

def frame(opcode, payload, compressed=False):
    first = 0x80 | (0x40 if compressed else 0) | opcode
    return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload

def compress(text, final=False):
    deflate = zlib.compressobj(wbits=-15)
    if final:
        return deflate.compress(text) + deflate.flush(zlib.Z_FINISH) + b"\0"
    return (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]

async def exchange(port, sent):
    """Sends the frames and shows what comes back."""
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
                    seen.append(repr(payload.decode()))
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
    rest = b"".join(frame(1, compress(text), compressed=True) for text in (b"two", b"three"))
    for name, made in listeners.items():
        port = made.getsockname()[1]
        print(f"{name}: {await exchange(port, frame(1, compress(b'one'), compressed=True) + rest)}")
        print(f"{name}, final block: {await exchange(port, frame(1, compress(b'one', final=True), compressed=True) + rest)}", flush=True)
    # The servers end with the process.
    os._exit(0)

asyncio.run(main())
PY
timeout 60 venv/bin/python run.py | tee seen
diff seen - <<'EXPECTED'
tornado: 'one', 'two', 'three', open
tornado, final block: 'one', '', '', open
wsproto: 'one', 'two', 'three', open
wsproto, final block: ended
websockets: 'one', 'two', 'three', open
websockets, final block: 'one', '', '', open
aiohttp: 'one', 'two', 'three', open
aiohttp, final block: 'one', 'two', 'three', open
EXPECTED
