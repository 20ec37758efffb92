// Stays connected while its server is restarted, and says why it was disconnected and what works afterwards.
// Usage: node restart.mjs PORT TRANSPORTS
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { io } = require("socket.io-client");
const [port, transports] = process.argv.slice(2);
const socket = io(`http://127.0.0.1:${port}`, { transports: transports.split(","), reconnectionDelay: 100, reconnectionDelayMax: 300 });
const once = (event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args[0])));
await once("connect");
const first = socket.id;
if (transports.includes(",") && socket.io.engine.transport.name !== "websocket") {
  await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
}
const left = once("disconnect");
console.log("UP");
const reason = await left;
await once("connect");
console.log(JSON.stringify({ reason, isNew: socket.id !== first, answer: await socket.timeout(5000).emitWithAck("one", 1) }));
socket.disconnect();
