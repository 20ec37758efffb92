#!/usr/bin/env bash
# What: a JavaScript server has connection state recovery switched on, and emits an event with one value to python-socketio's client, once
#   for the client alone and once with an acknowledgement. The client registers a function of one parameter, as for any other server.
# Versions: socket.io 4.8.4 (npm), Node.js 20; python-socketio 5.18.1 with requests 2.32.5 and websocket-client 1.9.0 (PyPI), Python 3.11.
# Guess: the function gets the value, as without recovery: python-socketio does not recover anything, and asks for nothing.
# Seen: the server appends the offset of the packet, a short text, to each event that wants no acknowledgement. The JavaScript client
#   has a use for it; python-socketio hands it to the function, whose call fails with a TypeError that appears on stderr only, so
#   the event is lost and the program goes on. Events with an acknowledgement, and a server without recovery, are as expected.
# Output: "recovery on: 2 values, then 1 with an acknowledgement; function of one parameter: 1 of 2 events" and "recovery off: 1 value,
#   then 1 with an acknowledgement; function of one parameter: 2 of 2 events". Exits non-zero otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io@4.8.4 socket.io-adapter@2.5.6 >/dev/null
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-socketio==5.18.1 python-engineio==4.15.1 requests==2.32.5 \
  websocket-client==1.9.0
cat >server.cjs <<'JS'
const { createServer } = require("node:http");
const { writeFileSync, renameSync } = require("node:fs");
const { Server } = require("socket.io");

const name = process.argv[2];
const http = createServer();
const io = new Server(http, name === "on" ? { connectionStateRecovery: {} } : {});
io.on("connection", (socket) => {
  socket.on("begin", async () => {
    socket.emit("note", "a value");
    await socket.timeout(5000).emitWithAck("note", "a value");
    socket.emit("done");
  });
});
http.listen(0, "127.0.0.1", () => {
  writeFileSync(`${name}.new`, String(http.address().port));
  renameSync(`${name}.new`, `${name}.port`);
});
JS
cat >client.py <<'PY'
import pathlib
import sys
import threading

import socketio

EXPECTED = [
    "recovery on: 2 values, then 1 with an acknowledgement; function of one parameter: 1 of 2 events",
    "recovery off: 1 value, then 1 with an acknowledgement; function of one parameter: 2 of 2 events",
]


def attempt(name, handler):
    """Returns after both events."""
    done = threading.Event()
    sio = socketio.Client()
    sio.on("note", handler)
    sio.on("done", lambda *args: done.set())
    port = pathlib.Path(f"{name}.port").read_text()
    sio.connect(f"http://127.0.0.1:{port}", transports=["websocket"], wait_timeout=10)
    sio.emit("begin")
    if not done.wait(15):
        raise TimeoutError("the server is not done")
    sio.sleep(0.5)
    sio.disconnect()


def values(count):
    return f"{count} value" if count == 1 else f"{count} values"


seen = []
for name in ("on", "off"):
    counts, got = [], []

    def all_of_it(*args):
        counts.append(len(args))
        return "thanks"

    def one_parameter(value):
        got.append(value)
        return "thanks"

    attempt(name, all_of_it)
    attempt(name, one_parameter)
    first, second = counts
    seen.append(
        f"recovery {name}: {values(first)}, then {second} with an acknowledgement; "
        f"function of one parameter: {len(got)} of 2 events"
    )
print("\n".join(seen))
sys.exit(seen != EXPECTED)
PY
for name in on off; do
  node server.cjs "$name" &
done
for _ in $(seq 100); do
  if [[ -s on.port && -s off.port ]]; then break; fi
  sleep 0.1
done
timeout 60 venv/bin/python client.py 2>errors.txt || { cat errors.txt >&2; exit 1; }
grep -q "TypeError: .*one_parameter() takes 1 positional argument but 2 were given" errors.txt
