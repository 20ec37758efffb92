#!/usr/bin/env bash
# What: broadcasts of 7,999, 8,000 and 8,001 bytes between two Socket.IO servers through PostgreSQL.
# Versions: @socket.io/postgres-adapter 0.5.0, socket.io and socket.io-client 4.8.4 (npm), Node.js 20; PostgreSQL 18 is
#   @electric-sql/pglite 0.5.14, with a pool of one connection.
# Guess: all arrive: the adapter stores payloads that are too long for NOTIFY in a table, which is the purpose of its `payloadThreshold`
#   of 8,000.
# Seen: the adapter uses the table for more than 8,000 bytes, but PostgreSQL accepts fewer than 8,000 in a notification. The broadcast of
#   exactly 8,000 bytes fits neither and never reaches the other server; the sender's `emit` reports no error, only an `errorHandler` gets
#   it.
# Output: "7999: arrived", "8000: lost (payload string too long)" and "8001: arrived". Exits non-zero otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @socket.io/postgres-adapter@0.5.0 @electric-sql/pglite@0.5.14 socket.io@4.8.4 \
  socket.io-adapter@2.5.8 socket.io-client@4.8.4 >/dev/null
cat >run.cjs <<'JS'
const { EventEmitter } = require("node:events");
const http = require("node:http");
const { PGlite } = require("@electric-sql/pglite");
const { createAdapter } = require("@socket.io/postgres-adapter");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");

const expected = ["7999: arrived", "8000: lost (payload string too long)", "8001: arrived"];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

(async () => {
  const database = new PGlite();
  await database.exec("CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)");
  const broadcasts = [];
  // The part of pg.Pool that the adapter uses.
  const pool = {
    query(text, values) {
      if (values?.[1]?.includes("padding")) broadcasts.push(Buffer.byteLength(values[1]));
      return database.query(text, values);
    },
    async connect() {
      const client = new EventEmitter();
      database.onNotification((channel, payload) => client.emit("notification", { channel, payload }));
      client.query = (text) => database.exec(text);
      client.release = () => {};
      return client;
    },
  };
  const errors = [];
  const servers = [];
  for (let index = 0; index < 2; index += 1) {
    const server = http.createServer();
    const adapter = createAdapter(pool, { errorHandler: (error) => errors.push(error.message) });
    servers.push({ io: new Server(server, { adapter }), server });
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
  }
  const client = connect(`http://127.0.0.1:${servers[1].server.address().port}`, { transports: ["websocket"] });
  let received = 0;
  client.on("padding", () => { received += 1; });
  await new Promise((done) => client.once("connect", done));
  await wait(500);
  // The size of a broadcast without padding, seen once.
  servers[0].io.emit("padding", "");
  await wait(500);
  const [empty] = broadcasts;
  const seen = [];
  for (const size of [7999, 8000, 8001]) {
    received = 0;
    servers[0].io.emit("padding", "x".repeat(size - empty));
    await wait(1000);
    seen.push(`${size}: ${received === 1 ? "arrived" : `lost (${errors.splice(0).join()})`}`);
  }
  console.log(seen.join("\n"));
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
JS
timeout 60 node run.cjs
