#!/usr/bin/env bash
# What: a Float32Array, a Uint16Array, a DataView and two large whole numbers, broadcast by one Socket.IO server to its own client and,
#   through the Redis adapter, to the client of another one.
# Versions: @socket.io/redis-adapter 8.3.0 with notepack.io 3.0.1, socket.io and socket.io-client 4.8.4 (npm), Node.js 20. Redis itself is
#   replaced by a relay of its messages inside the program, which forwards the same bytes.
# Guess: both clients get the same: the bytes of the arrays, and the numbers.
# Seen: the adapter's msgpack writes typed arrays element by element, one byte for each (1.5 becomes 1, 500 becomes 244), a DataView as an
#   empty value, and every whole number in at most 64 bits: a larger one loses its upper bits. No error is raised. The client of the first
#   server gets everything unchanged.
# Output: what each client got, as in `expected` below. Exits non-zero if it is something else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @socket.io/redis-adapter@8.3.0 notepack.io@3.0.1 socket.io@4.8.4 socket.io-adapter@2.5.8 \
  socket.io-client@4.8.4 >/dev/null
cat >run.cjs <<'JS'
const http = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");

const expected = [
  "same server: 0000c03f00000040, 0100f401, 010203, 18446744073709552000, -36893488147419103000",
  "other server: 0102, 01f4, , 0, 0",
];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// Publish and subscribe as the `redis` package has them, within this process.
const subscriptions = [];
const redis = {
  on() {},
  async publish(channel, message) {
    const bytes = Buffer.from(message);
    for (const { pattern, heard } of subscriptions) {
      const matches = pattern.endsWith("*") ? channel.startsWith(pattern.slice(0, -1)) : pattern === channel;
      if (matches) setImmediate(heard, Buffer.from(bytes), Buffer.from(channel));
    }
  },
  async pSubscribe(pattern, heard) { subscriptions.push({ pattern, heard }); },
  async subscribe(channels, heard) { for (const pattern of [channels].flat()) subscriptions.push({ pattern, heard }); },
};

(async () => {
  const servers = [];
  const seen = [];
  for (const name of ["same server", "other server"]) {
    const server = http.createServer();
    servers.push(new Server(server, { adapter: createAdapter(redis, redis) }));
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    const client = connect(`http://127.0.0.1:${server.address().port}`, { transports: ["websocket"] });
    const shown = (value) => (Buffer.isBuffer(value) ? value.toString("hex") : value);
    client.on("values", (...values) => seen.push(`${name}: ${values.map(shown).join(", ")}`));
    await new Promise((done) => client.once("connect", done));
  }
  const view = new DataView(Uint8Array.of(1, 2, 3).buffer);
  servers[0].emit("values", new Float32Array([1.5, 2]), new Uint16Array([1, 500]), view, 2 ** 64, -(2 ** 65));
  for (let tries = 0; seen.length < 2 && tries < 100; tries += 1) await wait(100);
  seen.sort().reverse();
  console.log(seen.join("\n"));
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
JS
timeout 40 node run.cjs
