// The first server of the JavaScript project with revision 4 of Engine.IO, with the events of events.mjs.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io-v3";
import { TOKEN, announce, refusal, serve } from "./events.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    transports: { type: "string", default: "polling,websocket" },
    "ping-interval": { type: "string", default: "25000" },
    "ping-timeout": { type: "string", default: "20000" },
  },
});

const http = createServer();
const io = new Server(http, {
  transports: options.transports.split(","),
  pingInterval: Number(options["ping-interval"]),
  pingTimeout: Number(options["ping-timeout"]),
  maxHttpBufferSize: 2_000_000,
});

io.on("connection", (socket) => serve(io, socket));
io.of("/chat").on("connection", (socket) => serve(io, socket));
io.of("/private")
  .use((socket, next) => (socket.handshake.auth.token === TOKEN ? next() : next(refusal())))
  .on("connection", (socket) => serve(io, socket));

announce(http, io, Number(options.port));
