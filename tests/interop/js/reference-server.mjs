// The demo server of docs/demo-events.md on the original Node server, with the command line of `kokanee serve`.
//
// The suite runs against it with REFERENCE=node: what a test demands is thereby shown to be what the original does, and
// this file says in a hundred lines of JavaScript what the demo events mean.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import msgpackParser from "socket.io-msgpack-parser";

const DEFAULT_PAGE = fileURLToPath(new URL("../../../crates/cli/page", import.meta.url));
const CONTENT_TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css", ".svg": "image/svg+xml" };
const SLEEP_MAX = 10_000;

const { values: options } = parseArgs({
  args: process.argv[2] === "serve" ? process.argv.slice(3) : process.argv.slice(2),
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "3000" },
    path: { type: "string", default: "/socket.io" },
    "allow-eio3": { type: "boolean", default: false },
    parser: { type: "string", default: "default" },
    "ping-interval": { type: "string", default: "25s" },
    "ping-timeout": { type: "string", default: "20s" },
    "serve-client": { type: "string" },
    transports: { type: "string", default: "polling,websocket" },
    cors: { type: "string" },
    recovery: { type: "string" },
    quiet: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

/** Milliseconds of "300ms" or "25s". */
function duration(text) {
  const [, number, unit] = /^(\d+)(ms|s)$/.exec(text) ?? [];
  if (!unit) throw new Error(`not a duration: ${text}`);
  return Number(number) * (unit === "s" ? 1000 : 1);
}

if (!["default", "msgpack"].includes(options.parser)) throw new Error("the original has one parser per server: default or msgpack");

const http = createServer(servePage);
const io = new Server(http, {
  path: options.path,
  allowEIO3: options["allow-eio3"],
  pingInterval: duration(options["ping-interval"]),
  pingTimeout: duration(options["ping-timeout"]),
  transports: options.transports.split(","),
  serveClient: options["serve-client"] !== undefined,
  ...(options.recovery && { connectionStateRecovery: { maxDisconnectionDuration: duration(options.recovery) } }),
  ...(options.cors && { cors: { origin: options.cors } }),
  ...(options.parser === "msgpack" && { parser: msgpackParser }),
});

/** Answers with the files of the demo page. */
async function servePage(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = normalize(pathname === "/" ? "/index.html" : decodeURIComponent(pathname));
  try {
    const body = await readFile(join(process.env.KOKANEE_PAGE ?? DEFAULT_PAGE, file));
    response.writeHead(200, { "Content-Type": CONTENT_TYPES[extname(file)] ?? "application/octet-stream" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}

/**
 * Registers `handlers` (event name to `(ack, ...args)`), run one after the other for each socket.
 *
 * `ack` is undefined if the client wants none. A handler that throws costs its event only.
 */
function handleInOrder(socket, handlers) {
  let turn = Promise.resolve();
  for (const [name, handler] of Object.entries(handlers)) {
    socket.on(name, (...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
      turn = turn.then(() => handler(ack, ...args)).catch(() => ack?.({ error: { code: "internal", message: "internal error" } }));
    });
  }
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const roomsOf = (socket) => [...socket.rooms].filter((room) => room !== socket.id);
const echo = (socket) => (ack, ...args) => (ack ? ack(...args) : socket.emit("echo", ...args));

io.on("connection", (socket) => {
  handleInOrder(socket, {
    echo: echo(socket),
    join: (ack, room) => {
      socket.join(room);
      socket.to(room).emit("joined", { room, id: socket.id });
      ack?.(roomsOf(socket));
    },
    leave: (ack, room) => {
      socket.leave(room);
      socket.to(room).emit("left", { room, id: socket.id });
      ack?.(roomsOf(socket));
    },
    rooms: (ack) => ack?.(roomsOf(socket)),
    "room message": (ack, { room, text }) => {
      socket.to(room).emit("room message", { room, text, from: socket.id });
      ack?.("ok");
    },
    "chat message": (ack, text) => {
      io.emit("chat message", { from: socket.id, text, at: Date.now() });
      ack?.("ok");
    },
    binary: (ack, bytes) => (ack ? ack({ bytes, length: bytes.length }) : socket.emit("binary", bytes)),
    broadcast: (ack, name, ...args) => {
      socket.broadcast.emit(name, ...args);
      ack?.(socket.nsp.sockets.size - 1);
    },
    "call me": async (ack, name, ...args) => {
      const answer = await new Promise((resolve) => {
        socket.timeout(5_000).emit(name, ...args, (error, ...answer) => resolve(error ? [{ error: error.message }] : answer));
      });
      ack?.(...answer);
    },
    "call everybody": async (ack, name, ...args) => {
      const answers = await io.timeout(2_000).emitWithAck(name, ...args).catch((error) => error.responses);
      ack?.(answers);
    },
    who: (ack) => ack?.([...io.of("/").sockets.values()].map((other) => ({ id: other.id, rooms: roomsOf(other), transport: other.conn.transport.name }))),
    sleep: async (ack, ms) => {
      await wait(Math.min(ms, SLEEP_MAX));
      ack?.("slept");
    },
    "disconnect me": (_ack, close) => {
      socket.disconnect(close === true);
    },
    fail: () => {
      throw new Error("this handler always fails");
    },
  });
  socket.emit("welcome", { id: socket.id, transport: socket.conn.transport.name, server: "socket.io (reference)" });
});

const privateNamespace = io.of("/private");
privateNamespace.use(async (socket, next) => {
  await wait(20);
  if (socket.handshake.auth.token === "kokanee") return next();
  const refusal = new Error("not authorized");
  refusal.data = { code: 401, hint: 'auth must be {token: "kokanee"}' };
  next(refusal);
});
privateNamespace.on("connection", (socket) => {
  handleInOrder(socket, { echo: echo(socket), whoami: (ack) => ack?.(socket.handshake.auth) });
});

setInterval(() => io.emit("clock", { time: Date.now(), clients: io.of("/").sockets.size, uptime: process.uptime() }), 1_000).unref();

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => io.close(() => process.exit(0)));

http.listen(Number(options.port), options.host, () => {
  const url = `http://${options.host}:${http.address().port}`;
  console.log(options.json ? JSON.stringify({ event: "listening", url }) : `listening on ${url}`);
});
