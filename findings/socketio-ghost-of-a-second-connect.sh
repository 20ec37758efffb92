#!/usr/bin/env bash
# What: `socket.connect()` is called a second time while a middleware of the namespace, which takes 500 ms, has not answered yet: two
#   parts of a program that both connect the socket. The connection is shared with another namespace, as by default.
# Versions: socket.io and socket.io-client 4.8.4 (npm), Node.js 20.
# Guess: the second call does nothing: the socket is connecting, and `connect()` on a connected socket does nothing either.
# Seen: the client sends a second CONNECT, and the server, which checks for joined namespaces, does not find one that is still in its
#   middlewares. The server connects two sockets for the one of the client, which gets each broadcast twice. When the client leaves, one
#   of them is disconnected; the other one stays in its rooms as long as the connection lasts, and its "disconnect" event is not emitted.
# Output: "once: 1 socket, 1 copy of a broadcast, 0 left" and "twice: 2 sockets, 2 copies of a broadcast, 1 left". Exits non-zero
#   otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund socket.io@4.8.4 socket.io-client@4.8.4 >/dev/null
cat >run.cjs <<'JS'
const http = require("node:http");
const { Server } = require("socket.io");
const { Manager } = require("socket.io-client");

const expected = ["once: 1 socket, 1 copy of a broadcast, 0 left", "twice: 2 sockets, 2 copies of a broadcast, 1 left"];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function attempt(again) {
  const server = http.createServer();
  const io = new Server(server);
  const chat = io.of("/chat");
  chat.use((socket, next) => setTimeout(next, 500));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const manager = new Manager(`http://127.0.0.1:${server.address().port}`, { transports: ["websocket"] });
  const main = manager.socket("/");
  await new Promise((done) => main.once("connect", done));
  const socket = manager.socket("/chat");
  let copies = 0;
  socket.on("news", () => { copies += 1; });
  await wait(200);
  if (again) socket.connect();
  await new Promise((done) => socket.once("connect", done));
  await wait(1000);
  chat.emit("news");
  await wait(500);
  const sockets = (await chat.fetchSockets()).length;
  socket.disconnect();
  await wait(500);
  const left = (await chat.fetchSockets()).length;
  main.disconnect();
  const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;
  return `${again ? "twice" : "once"}: ${counted(sockets, "socket", "sockets")}, ${counted(copies, "copy", "copies")} of a broadcast, ${left} left`;
}

(async () => {
  const seen = [await attempt(false), await attempt(true)];
  console.log(seen.join("\n"));
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
JS
timeout 40 node run.cjs
