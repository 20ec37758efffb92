// The current server of the JavaScript project, with the events of events.mjs.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import msgpackParser from "socket.io-msgpack-parser";
import { TOKEN, announce, refusal, serve } from "./events.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    transports: { type: "string", default: "polling,websocket" },
    recovery: { type: "string" },
    msgpack: { type: "boolean", default: false },
    deflate: { type: "boolean", default: false },
    eio3: { type: "boolean", default: false },
    "ping-interval": { type: "string", default: "25000" },
    "ping-timeout": { type: "string", default: "20000" },
  },
});

const http = createServer();
const io = new Server(http, {
  transports: options.transports.split(","),
  allowEIO3: options.eio3,
  pingInterval: Number(options["ping-interval"]),
  pingTimeout: Number(options["ping-timeout"]),
  maxHttpBufferSize: 2_000_000,
  perMessageDeflate: options.deflate && { threshold: 0 },
  ...(options.msgpack && { parser: msgpackParser }),
  ...(options.recovery && { connectionStateRecovery: { maxDisconnectionDuration: Number(options.recovery) } }),
});

io.on("connection", (socket) => serve(io, socket));
io.of("/chat").on("connection", (socket) => serve(io, socket));
io.of("/private")
  .use((socket, next) => (socket.handshake.auth.token === TOKEN ? next() : next(refusal())))
  .on("connection", (socket) => serve(io, socket));

announce(http, io, Number(options.port));
