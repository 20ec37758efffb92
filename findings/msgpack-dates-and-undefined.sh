#!/usr/bin/env bash
# What: a JavaScript client sends a Date and `undefined` to python-socketio, once with the default parser on both sides and once with
#   msgpack on both sides, each as the packages provide it.
# Versions: socket.io-client 4.8.4, socket.io-msgpack-parser 3.0.2 with notepack.io 2.2.0 (npm), Node.js 20; python-socketio 5.18.1 with
#   msgpack 1.1.2 on uvicorn 0.54.0 (PyPI), Python 3.11.
# Guess: the parser only changes the bytes on the wire, so the handler gets the same values: the date as text, and None.
# Seen: notepack 2 writes both as extensions of type 0, which is not in the msgpack specification: eight bytes of milliseconds, and one
#   zero byte. Python's msgpack decodes them as `ExtType`, which is neither None nor JSON. An undefined member of an object, which the
#   default parser omits, is present with msgpack.
# Output: what the handler got, as in `expected` below. Exits non-zero if it is something else.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io-client@4.8.4 socket.io-msgpack-parser@3.0.2 notepack.io@2.2.0 >/dev/null
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-socketio==5.18.1 python-engineio==4.15.1 msgpack==1.1.2 \
  uvicorn==0.54.0 websockets==17.4
cat >server.py <<'PY'
import asyncio
import socket
import sys
import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi", serializer=sys.argv[1])

@sio.on("save")
async def save(sid, *args):
    return repr(args)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(socketio.ASGIApp(sio), log_level="warning"))
asyncio.run(server.serve(sockets=[listener]))
PY
cat >run.cjs <<'JS'
const { readFileSync } = require("node:fs");
const { io } = require("socket.io-client");

const expected = [
  "default: ('1970-01-01T00:00:01.000Z', None, {'kept': 1})",
  "msgpack: (ExtType(code=0, data=b'\\x00\\x00\\x00\\x00\\x00\\x00\\x03\\xe8'), ExtType(code=0, data=b'\\x00'), {'kept': 1, 'gone': ExtType(code=0, data=b'\\x00')})",
];

async function attempt(serializer) {
  const socket = io(`http://127.0.0.1:${readFileSync(`${serializer}.port`, "utf8").trim()}`, {
    transports: ["websocket"], reconnectionDelay: 200, ...(serializer === "msgpack" && { parser: require("socket.io-msgpack-parser") }),
  });
  await new Promise((done) => socket.once("connect", done));
  const got = await socket.timeout(10_000).emitWithAck("save", new Date(1000), undefined, { kept: 1, gone: undefined });
  socket.disconnect();
  return `${serializer}: ${got}`;
}

(async () => {
  const seen = [await attempt("default"), await attempt("msgpack")];
  console.log(seen.join("\n"));
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
JS
for serializer in default msgpack; do
  venv/bin/python server.py "$serializer" >"$serializer.port" &
done
for _ in $(seq 100); do
  if [[ -s default.port && -s msgpack.port ]]; then break; fi
  sleep 0.1
done
timeout 40 node run.cjs
