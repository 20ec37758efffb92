// Emits `my_message` with text and bytes, waits for the acknowledgement and for `back`, and says what it got over which transport.
// Usage: node echo.mjs PORT TRANSPORTS [SCHEME [PATH [COOKIE]]]
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { io } = require("socket.io-client");

const [port, transports, scheme = "http", path, cookie] = process.argv.slice(2);
const socket = io(`${scheme}://127.0.0.1:${port}`, {
  transports: transports.split(","), reconnection: false, rejectUnauthorized: false, path,
  extraHeaders: cookie && { cookie },
});
socket.on("connect_error", (error) => { console.error(error); process.exit(1); });
const upgraded = transports === "polling,websocket"
  ? new Promise((resolve) => socket.io.engine.once("upgrade", resolve)) : null;
const back = new Promise((resolve) => socket.on("back", (...args) => resolve(args)));
await new Promise((resolve) => socket.on("connect", resolve));
await upgraded;
const data = { text: "hällo 🐟", list: [1, 2.5, null, true], bytes: Buffer.from([0, 1, 255]) };
const ack = await socket.timeout(10000).emitWithAck("my_message", data);
const show = (value) => JSON.parse(JSON.stringify(value, (_, v) => (v?.type === "Buffer" ? Buffer.from(v).toString("hex") : v)));
console.log(JSON.stringify({ transport: socket.io.engine.transport.name, ack: show(ack), back: show(await back) }));
socket.disconnect();
