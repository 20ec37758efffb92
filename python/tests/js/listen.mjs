// Connects, sends a POST to a URL, and prints the arguments of the event that comes then.
// Usage: node listen.mjs PORT EVENT URL
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { io } = require("socket.io-client");

const [port, event, url] = process.argv.slice(2);
const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], reconnection: false });
socket.on("connect_error", (error) => { console.error(error); process.exit(1); });
await new Promise((resolve) => socket.on("connect", resolve));
const came = new Promise((resolve) => socket.on(event, (...args) => resolve(args)));
const response = await fetch(url, { method: "POST" });
if (!response.ok) throw new Error(`${url}: ${response.status}`);
console.log(JSON.stringify(await came));
socket.disconnect();
