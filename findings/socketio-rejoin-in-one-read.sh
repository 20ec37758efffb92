#!/usr/bin/env bash
# What: a client leaves a namespace and joins it again at once, in one write. Both packets are valid, in this order.
# Versions: socket.io 4.8.4 (npm) with ws 8.18.3 as the client, Node.js 20.
# Guess: the socket is disconnected and a new one is connected, as when the two packets come one after the other.
# Seen: DISCONNECT is handled in a later tick than CONNECT, which finds the namespace still joined: the server closes the whole
#   connection, including the other namespaces on it. With 50 ms between the two packets there is a new socket and nothing closes.
# Output: "apart: rejoined, connection open" and "together: connection closed, namespaces lost: / /chat". Exits non-zero otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io@4.8.4 ws@8.18.3 >/dev/null
cat >run.cjs <<'JS'
const http = require("node:http");
const { Server } = require("socket.io");
const { WebSocket } = require("ws");

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function attempt(url, gone, gap) {
  const socket = new WebSocket(`${url}/socket.io/?EIO=4&transport=websocket`);
  const received = [];
  let closed = false;
  socket.on("message", (data) => received.push(data.toString()));
  socket.on("close", () => { closed = true; });
  await new Promise((done) => socket.once("open", done));
  socket.send("40");
  socket.send("40/chat,");
  while (received.filter((packet) => packet.startsWith("40")).length < 2) await wait(10);
  gone.length = 0;
  // Corked: both frames leave with one write, and one read brings them.
  if (gap === 0) socket._socket.cork();
  socket.send("41/chat,");
  if (gap === 0) { socket.send("40/chat,"); socket._socket.uncork(); }
  else { await wait(gap); socket.send("40/chat,"); }
  await wait(700);
  const joins = received.filter((packet) => packet.startsWith("40/chat,")).length;
  const result = closed ? `connection closed, namespaces lost: ${[...gone].sort().join(" ")}` : `${joins === 2 ? "rejoined" : "not rejoined"}, connection open`;
  socket.terminate();
  return result;
}

(async () => {
  const server = http.createServer();
  const io = new Server(server);
  const gone = [];
  for (const name of ["/", "/chat"]) {
    io.of(name).on("connection", (socket) => socket.on("disconnect", () => gone.push(name)));
  }
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const url = `ws://127.0.0.1:${server.address().port}`;
  const lines = [`apart: ${await attempt(url, gone, 50)}`, `together: ${await attempt(url, gone, 0)}`];
  console.log(lines.join("\n"));
  const seen = ["apart: rejoined, connection open", "together: connection closed, namespaces lost: / /chat"];
  process.exit(lines.join() === seen.join() ? 0 : 1);
})();
JS
timeout 60 node run.cjs
