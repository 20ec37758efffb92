// Opens clients over every transport on a host with several workers, every request on a connection of its own, and has them reach
// each other: events to all, to rooms and to single clients, questions, answers, and disconnecting. Says what it saw.
// Usage: node workers.mjs PORT
import { createRequire } from "node:module";
import http from "node:http";
const require = createRequire(process.env.NODE_PATH + "/");
const { io } = require("socket.io-client");

const port = process.argv[2];
const fail = (text) => { console.error(text); process.exit(1); };
setTimeout(() => fail("too slow"), 50000).unref();
const agent = new http.Agent({ keepAlive: false });

async function open(transports) {
  const socket = io(`http://127.0.0.1:${port}`, { transports, agent, forceNew: true, reconnection: false });
  socket.heard = [];
  socket.on("heard", (...args) => socket.heard.push(args));
  socket.on("connect_error", (error) => fail(`${transports}: ${error}`));
  socket.on("question", (data, answer) => answer(socket.id, data));
  const upgraded = transports.length === 2
    ? new Promise((resolve) => socket.io.engine.once("upgrade", resolve)) : null;
  const welcome = new Promise((resolve) => socket.once("welcome", resolve));
  await new Promise((resolve) => socket.once("connect", resolve));
  await upgraded;
  socket.worker = await welcome;
  return socket;
}
const until = async (what, condition) => {
  const deadline = Date.now() + 10000;
  while (!condition()) {
    if (Date.now() > deadline) fail(`not ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};
const kinds = [["polling"], ["websocket"], ["polling", "websocket"]];
const call = (socket, ...args) => socket.timeout(10000).emitWithAck(...args);
// One client of each worker at least, when all of them know each other: some hosts start them one after the other.
const each = new Map();
for (let tries = 0; each.size < 3 && tries < 500; tries++) {
  const socket = await open(["websocket"]);
  if (each.has(socket.worker)) socket.disconnect();
  else each.set(socket.worker, socket);
}
for (const socket of each.values()) while ((await call(socket, "where"))[1] < 2);
const all = await Promise.all(Array.from({ length: 18 }, (_, i) => open(kinds[i % 3])));
all.push(...each.values());
const heard = async (name, sockets, args) => {
  const others = all.filter((socket) => !sockets.includes(socket));
  await until(`${name} heard by all`, () => sockets.every((socket) => socket.heard.some((it) => JSON.stringify(it) === JSON.stringify(args))));
  if (others.some((socket) => socket.heard.some((it) => it[1] === args[1]))) fail(`${name} heard by others`);
};
const data = { text: "hällo 🐟", bytes: Buffer.from([0, 255]) };
for (const socket of all) {
  const [pid, others] = await call(socket, "where");
  if (pid !== socket.worker) fail("a request was handled by another worker");
  const back = await call(socket, "echo", data);
  if (back.text !== data.text || Buffer.compare(Buffer.from(back.bytes), data.bytes)) fail("echo");
}
const first = all[0];
const workers = new Set(all.map((socket) => socket.worker));
await call(first, "shout", null, null, "to all");
await heard("to all", all, [null, "to all"]);
await call(first, "shout", null, first.id, "but me");
await heard("but me", all.slice(1), [null, "but me"]);
// Each enters a room by a request that a worker gets that does not own it.
for (const socket of all.slice(0, 9)) await call(all[17], "enter", socket.id, "tea");
await call(all[16], "shout", "tea", [all[8].id], "tea");
await heard("tea", all.slice(0, 8), ["tea", "tea"]);
for (const socket of all.slice(0, 4)) await call(all[16], "leave", socket.id, "tea");
await call(all[16], "shout", ["tea", first.id], null, "less tea");
await heard("less tea", [first, ...all.slice(4, 9)], [["tea", first.id], "less tea"]);
for (const socket of all) {
  await call(first, "shout", socket.id, null, `for ${socket.id}`);
  await heard("for one", [socket], [socket.id, `for ${socket.id}`]);
  const [id, question] = await call(first, "ask", socket.id, data, 5);
  if (id !== socket.id || question.text !== data.text || question.bytes.length !== 2) fail("answer");
}
await call(first, "ask_all", "tea");
const answered = async () => { const it = await call(first, "answered"); return it; };
let answers;
do answers = await answered(); while (answers[0].length < 5);
const ids = answers[0].map(([id]) => id).sort();
if (JSON.stringify(ids) !== JSON.stringify(all.slice(4, 9).map((socket) => socket.id).sort())) fail("answers of a room");
await call(all[15], "close", "tea");
await call(first, "shout", "tea", null, "no tea");
await call(first, "shout", null, null, "after");
await heard("after", all, [null, "after"]);
await heard("no tea", [], ["tea", "no tea"]);
// In order.
const numbers = [];
all[14].on("number", (number) => numbers.push(number));
await call(first, "count", all[14].id, 300);
await until("300 numbers", () => numbers.length === 300);
if (numbers.some((number, i) => number !== i)) fail("out of order");
// A client of another worker is disconnected.
const gone = all.find((socket) => socket.worker !== first.worker);
let reason = null;
if (gone) {
  const id = gone.id;
  gone.on("disconnect", (why) => { reason = why; });
  await call(first, "kick", id);
  await until("disconnected", () => reason);
  if (await call(first, "ask", id, 1, 2) !== "timeout") fail("a client that is gone has answered");
}
console.log(JSON.stringify({ workers: workers.size, reason, transports: [...new Set(all.map((socket) => socket.io.engine.transport.name))].sort() }));
for (const socket of all) socket.disconnect();
