#!/usr/bin/env bash
# What: the newest emitter and the newest adapter of Socket.IO for PostgreSQL, as published, on one database: an event from another
#   server, and one from the emitter.
# Versions: @socket.io/postgres-adapter 0.5.0 and 0.4.0 with socket.io-adapter 2.5.8 and 2.5.5, @socket.io/postgres-emitter 0.1.1,
#   socket.io and socket.io-client 4.8.4 (npm), Node.js 20; PostgreSQL is @electric-sql/pglite 0.5.14, with a pool of one connection.
# Guess: the emitter is meant for this adapter and is the newest version, so the client gets both events.
# Seen: the emitter writes no `nsp` into its messages. Adapter 0.4.0 determined the namespace by the channel, until the socket.io-adapter
#   below it (of which npm installs the newest compatible version) dropped messages without its namespace; adapter 0.5.0 looks up the
#   namespace by `nsp`. The events of the emitter are lost without an error on either side.
# Output: "0.4.0 on 2.5.5: other server, emitter", "0.4.0 on 2.5.8: other server" and "0.5.0 on 2.5.8: other server". Exits non-zero
#   otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for version in 2.5.5 2.5.8; do
  mkdir "$version"
  cd "$version"
  npm init -y >/dev/null
  npm install --silent --no-audit --no-fund "socket.io-adapter@$version" adapter-0.4.0@npm:@socket.io/postgres-adapter@0.4.0 \
    adapter-0.5.0@npm:@socket.io/postgres-adapter@0.5.0 @socket.io/postgres-emitter@0.1.1 @electric-sql/pglite@0.5.14 socket.io@4.8.4 \
    socket.io-client@4.8.4 >/dev/null
  cd ..
done
cat >run.cjs <<'JS'
const { EventEmitter } = require("node:events");
const http = require("node:http");
const { PGlite } = require("@electric-sql/pglite");
const { Emitter } = require("@socket.io/postgres-emitter");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// The part of pg.Pool that adapter and emitter use.
function poolOf(database) {
  return {
    query: (text, values) => database.query(text, values),
    async connect() {
      const client = new EventEmitter();
      database.onNotification((channel, payload) => client.emit("notification", { channel, payload }));
      client.query = (text) => database.exec(text);
      client.release = () => {};
      return client;
    },
  };
}

async function attempt(version) {
  const database = new PGlite();
  await database.exec("CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)");
  const pool = poolOf(database);
  const errorHandler = (error) => { throw error; };
  const { createAdapter } = require(`adapter-${version}`);
  const servers = [];
  for (let index = 0; index < 2; index += 1) {
    const server = http.createServer();
    servers.push({ io: new Server(server, { adapter: createAdapter(pool, { errorHandler }) }), server });
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
  }
  const client = connect(`http://127.0.0.1:${servers[1].server.address().port}`, { transports: ["websocket"] });
  const received = [];
  client.on("news", (from) => received.push(from));
  await new Promise((done) => client.once("connect", done));
  await wait(500);
  servers[0].io.emit("news", "other server");
  await wait(500);
  new Emitter(pool).emit("news", "emitter");
  await wait(1500);
  client.disconnect();
  return received.join(", ");
}

(async () => {
  const versions = process.argv.slice(3);
  for (const version of versions) console.log(`${version} on ${process.argv[2]}: ${await attempt(version)}`);
  process.exit(0);
})();
JS
{
  for version in 2.5.5 2.5.8; do cp run.cjs "$version/"; done
  timeout 30 node 2.5.5/run.cjs 2.5.5 0.4.0
  timeout 30 node 2.5.8/run.cjs 2.5.8 0.4.0 0.5.0
} | tee seen
diff seen - <<'EXPECTED'
0.4.0 on 2.5.5: other server, emitter
0.4.0 on 2.5.8: other server
0.5.0 on 2.5.8: other server
EXPECTED
