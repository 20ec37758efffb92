#!/usr/bin/env bash
# What: python-socketio disconnects a JavaScript client (`sio.disconnect(sid)`), with the default parser and with msgpack on both sides.
# Versions: python-socketio 5.18.1 with msgpack 1.1.2 on uvicorn 0.54.0 (PyPI), Python 3.11; socket.io-client 4.8.4,
#   socket.io-msgpack-parser 3.0.2 (npm), Node.js 20.
# Guess: the client reports "io server disconnect" both times and does not reconnect: that is the rule for this reason.
# Seen: the Python server writes all fields of a packet, also a `data` of nil in DISCONNECT. The JavaScript msgpack parser demands that
#   DISCONNECT has no `data` (undefined, not null), so the client treats the packet as a parse error, after which it does reconnect: it is
#   connected again at once after each disconnect.
# Output: "default: io server disconnect, connected 1 time" and "msgpack: parse error, connected 3 times". Exits non-zero otherwise.
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

@sio.on("dismiss")
async def dismiss(sid):
    await sio.disconnect(sid)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(socketio.ASGIApp(sio), log_level="warning"))
asyncio.run(server.serve(sockets=[listener]))
PY
cat >run.cjs <<'JS'
const { readFileSync } = require("node:fs");
const { io } = require("socket.io-client");

const expected = ["default: io server disconnect, connected 1 time", "msgpack: parse error, connected 3 times"];

async function attempt(serializer) {
  const socket = io(`http://127.0.0.1:${readFileSync(`${serializer}.port`, "utf8").trim()}`, {
    transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 200,
    ...(serializer === "msgpack" && { parser: require("socket.io-msgpack-parser") }),
  });
  let connected = 0;
  const reasons = new Set();
  // Dismissed twice at most; a third connection may stay.
  socket.on("connect", () => { connected += 1; if (connected < 3) socket.emit("dismiss"); });
  socket.on("disconnect", (reason) => reasons.add(reason));
  for (const end = Date.now() + 15_000; reasons.size === 0 && Date.now() < end;) await new Promise((done) => setTimeout(done, 20));
  await new Promise((done) => setTimeout(done, 3000));
  const result = `${serializer}: ${[...reasons]}, connected ${connected} time${connected === 1 ? "" : "s"}`;
  socket.disconnect();
  return result;
}

(async () => {
  const seen = await Promise.all([attempt("default"), attempt("msgpack")]);
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
