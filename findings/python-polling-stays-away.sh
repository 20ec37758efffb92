#!/usr/bin/env bash
# What: a socket.io server is shut down gracefully (`io.close()`) and restarted on the same port. All clients have reconnection enabled.
# Versions: socket.io 4.8.4 with engine.io 6.6.13, socket.io-client 4.8.4 (npm), Node.js 20; python-socketio 5.18.1 with python-engineio
#   4.15.1 (PyPI), Python 3.11.
# Guess: every client reconnects, with either transport, as reconnection is meant for restarts.
# Seen: with long-polling the server sends an Engine.IO close packet last. python-socketio's clients, blocking and asyncio, report it as
#   "server disconnect", the reason for which they do not reconnect, although no socket was disconnected by the application. With
#   WebSocket the same clients reconnect (no close packet is sent there), and the JavaScript client reconnects with both.
# Output: one line for each client, as in `expected` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io@4.8.4 engine.io@6.6.13 socket.io-client@4.8.4 engine.io-client@6.6.8 >/dev/null
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-socketio==5.18.1 python-engineio==4.15.1 \
  requests==2.34.2 websocket-client==1.9.2 aiohttp==3.14.5
cat >blocking.py <<'PY'
import sys
import socketio

url, transport, name = sys.argv[1:]
client = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.3)
client.on("disconnect", lambda reason: print(reason, flush=True))
client.connect(url, transports=[transport], auth={"name": name})
client.wait()
PY
cat >asynchronous.py <<'PY'
import asyncio
import sys
import socketio

url, transport, name = sys.argv[1:]

async def main():
    client = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.3)

    @client.event
    async def disconnect(reason):
        print(reason, flush=True)

    await client.connect(url, transports=[transport], auth={"name": name})
    await client.wait()

asyncio.run(main())
PY
cat >javascript.cjs <<'JS'
const [url, transport, name] = process.argv.slice(2);
const socket = require("socket.io-client").io(url, {
  transports: [transport], auth: { name }, reconnectionDelay: 100, reconnectionDelayMax: 300,
});
socket.on("disconnect", (reason) => console.log(reason));
JS
cat >run.cjs <<'JS'
const { spawn } = require("node:child_process");
const http = require("node:http");
const { Server } = require("socket.io");

const expected = [
  "Client, polling: server disconnect, stays away",
  "Client, websocket: transport error, comes back",
  "AsyncClient, polling: server disconnect, stays away",
  "AsyncClient, websocket: transport error, comes back",
  "JavaScript, polling: transport close, comes back",
  "JavaScript, websocket: transport close, comes back",
];
const programs = {
  Client: ["venv/bin/python", "blocking.py"],
  AsyncClient: ["venv/bin/python", "asynchronous.py"],
  JavaScript: ["node", "javascript.cjs"],
};
const children = [];
process.on("exit", () => children.forEach((child) => child.kill()));
process.on("SIGTERM", () => process.exit(1));

async function until(condition, ms) {
  for (const end = Date.now() + ms; !condition() && Date.now() < end;) await new Promise((done) => setTimeout(done, 20));
}

async function start(port) {
  const names = new Set();
  const server = http.createServer();
  const io = new Server(server);
  io.on("connection", (socket) => names.add(socket.handshake.auth.name));
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return { io, server, names, port: server.address().port };
}

(async () => {
  const first = await start(0);
  const clients = [];
  for (const [program, command] of Object.entries(programs)) {
    for (const transport of ["polling", "websocket"]) {
      const client = { name: `${program}, ${transport}`, reason: "" };
      const address = `http://127.0.0.1:${first.port}`;
      const child = spawn(command[0], [command[1], address, transport, client.name], { stdio: ["ignore", "pipe", "inherit"] });
      child.stdout.on("data", (data) => { client.reason += data; });
      children.push(child);
      clients.push(client);
    }
  }
  await until(() => first.names.size === clients.length, 20_000);
  // By now each polling client has a GET that waits.
  await new Promise((done) => setTimeout(done, 1000));
  // Not awaited: it is not done before the last connection has gone, the port is free at once.
  first.io.close();
  await until(() => clients.every(({ reason }) => reason) && !first.server.listening, 10_000);
  const second = await start(first.port);
  // All but the two that stay away, which get three seconds more; their delays are 0.3 s at most.
  await until(() => second.names.size >= clients.length - 2, 15_000);
  await until(() => second.names.size === clients.length, 3000);
  const seen = clients.map(({ name, reason }) => `${name}: ${reason.trim()}, ${second.names.has(name) ? "comes back" : "stays away"}`);
  console.log(seen.join("\n"));
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
JS
timeout 60 node run.cjs
