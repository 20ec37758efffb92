// The last server of the JavaScript project with revision 3 of Engine.IO, with the events of events.mjs.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import Server from "socket.io-v2";
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
const io = Server(http, {
  transports: options.transports.split(","),
  pingInterval: Number(options["ping-interval"]),
  pingTimeout: Number(options["ping-timeout"]),
  maxHttpBufferSize: 2_000_000,
  serveClient: false,
});

io.on("connection", (socket) => serve(io, socket));
io.of("/chat").on("connection", (socket) => serve(io, socket));
// Version 2 has no auth: its clients say such things in the query of the namespace.
io.of("/private")
  .use((socket, next) => (socket.handshake.query.token === TOKEN ? next() : next(refusal())))
  .on("connection", (socket) => serve(io, socket));

announce(http, io, Number(options.port));
