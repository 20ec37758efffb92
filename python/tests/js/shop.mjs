// Talks to the shop as a page does, and prints what it has seen.
// Usage: node shop.mjs PORT TRANSPORT
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { io } = require("socket.io-client");

const [port, transport] = process.argv.slice(2);
const url = `http://127.0.0.1:${port}`;
const options = { transports: [transport], reconnection: false };
const socket = io(url, options);
socket.on("connect_error", (error) => { console.error(error); process.exit(1); });
const seen = {};
socket.on("news", (title, receipt) => { seen.news = [title, receipt.number, [...receipt.order.blob]]; });
socket.on("confirm", (order, callback) => callback(order.text === "sure"));
const failed = new Promise((resolve) => socket.on("error", resolve));
const receipt = await socket.emitWithAck("order", { text: "tea", blob: Buffer.from([0, 255]), colour: "black" });
seen.order = [receipt.number, receipt.order.text, receipt.order.colour, [...receipt.order.blob]];
seen.invalid = await socket.emitWithAck("order", { text: "", blob: Buffer.from([255]) });
seen.add = await socket.emitWithAck("add", 1);
seen.asked = await socket.emitWithAck("ask me");
seen.words = await new Promise((resolve) =>
  socket.emit("many words", 1, [], Buffer.from([1]), Buffer.from([2]), (count, bytes) => resolve([count, [...bytes]])));
socket.emit("add", "x");
seen.failed = await failed;
const refusal = (auth) => new Promise((resolve) => {
  const staff = io(`${url}/v1/staff-only`, { ...options, auth, forceNew: true });
  staff.on("connect_error", (error) => { resolve([error.message, error.data]); staff.disconnect(); });
  staff.on("connect", async () => { resolve(await staff.emitWithAck("who")); staff.disconnect(); });
});
seen.staff = [await refusal({}), await refusal({ token: "bad" }), await refusal({ token: "good" })];
console.log(JSON.stringify(seen));
socket.disconnect();
