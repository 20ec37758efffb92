// Uses everything that a client can, and prints what it saw, as JSON. Only what clients of all versions have is used.
// Usage: node matrix.mjs PORT TRANSPORTS [CLIENT]
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const [port, transports, client = "socket.io-client"] = process.argv.slice(2);
const library = require(client);
const io = library.io ?? library;
const old = client.endsWith("v2");

const url = `http://127.0.0.1:${port}`;
const options = (more) => ({ transports: transports.split(","), reconnection: false, forceNew: true, ...more });
const seen = {};
const show = (value) => JSON.parse(JSON.stringify(value === undefined ? "undefined" : value,
  (_, v) => (v?.type === "Buffer" ? `bytes ${Buffer.from(v).toString("hex")}` : v)));
const once = (socket, event) => new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`no ${event}`)), 8000);
  socket.once(event, (...args) => { clearTimeout(timer); resolve(show(args)); });
});
const call = (socket, ...args) => new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`no answer to ${args[0]}`)), 8000);
  socket.emit(...args, (...answer) => { clearTimeout(timer); resolve(show(answer)); });
});
const joined = async (socket) => {
  const upgraded = transports === "polling,websocket" ? new Promise((resolve) => socket.io.engine.once("upgrade", () => resolve())) : null;
  await once(socket, "connect");
  if (upgraded) await upgraded;
  return socket;
};
const open = (more, name = "") => io(url + name, options(more));

// Refusals.
if (!old) {
  for (const refuse of ["false", "data", "empty", "builtin"]) {
    const socket = open({ auth: { refuse } });
    socket.on("connect", () => { seen[`refused ${refuse} but connected`] = true; });
    const error = await new Promise((resolve) => socket.once("connect_error", resolve));
    seen[`refused ${refuse}`] = { message: error.message, data: show(error.data) };
    socket.disconnect();
  }
  const unknown = open({}, "/unknown");
  const error = await new Promise((resolve) => unknown.once("connect_error", resolve));
  seen["unknown namespace"] = { message: error.message, data: show(error.data) };
  unknown.disconnect();
}

// Events and answers.
const a = open(old ? {} : { auth: { token: "t" } });
const welcome = once(a, "welcome");
await joined(a);
seen.welcome = old ? "old" : await welcome;
const back = once(a, "back");
seen.echo = await call(a, "echo", 1, "zwei 🐟", null, [true, { deep: [1.5, -0.25] }], Buffer.from([0, 255]));
seen.back = await back;
seen.none = await call(a, "echo");
for (const value of [0, "", false, null, [], {}, [1, [2]], "a\u2028\\\"", 1e21, Number.MAX_SAFE_INTEGER, ...(process.env.NO_EMPTY_MESSAGES ? [] : [Buffer.alloc(0)])]) {
  (seen.one ??= []).push(await call(a, "one", value));
}
seen.nested = await call(a, "one", { list: [Buffer.from("x"), { y: Buffer.from("y") }] });
const sent = once(a, "message");
a.send("hello");
seen.message = await sent;
seen.anything = await call(a, "no handler for this", 1, 2);
seen.large = (await call(a, "one", "ä".repeat(200_000)))[0].length;
a.emit("fails");
seen["after a failure"] = await call(a, "one", 1);
seen.transport = await call(a, "transport");
seen.sessions = [await call(a, "remember", 1), await call(a, "remember", "two")];

// `call` of the server.
a.on("question", (value, answer) => answer(Array.isArray(value) ? "list" : value, ...(value === "two" ? ["more"] : [])));
a.on("silent", () => {});
const answers = once(a, "answers");
a.emit("ask");
seen.answers = await answers;

// Rooms.
const b = await joined(open({}));
const heard = [];
a.on("heard", (data) => heard.push(["a", data.room]));
b.on("heard", (data) => heard.push(["b", data.room]));
seen.rooms = [await call(a, "join", "red"), await call(a, "join", "blue"), await call(b, "join", "red"), await call(a, "leave", "blue")];
const shouts = async (...args) => {
  a.emit("shout", ...args);
  await call(a, "one", 0); await call(b, "one", 0); await call(a, "one", 0);
  await new Promise((resolve) => setTimeout(resolve, 30));
  return heard.splice(0).sort();
};
seen.shouts = [await shouts("red", false), await shouts("red", true), await shouts("blue", false), await shouts(null, true), await shouts(["red", "blue"], false)];
a.emit("close", "red");
await call(a, "one", 0);
seen.closed = await shouts("red", false);

// Namespaces.
const admin = io(`${url}/admin`, options({}));
await joined(admin);
seen.admin = await call(admin, "where");
const thing = await joined(io(`${url}/class`, options({})));
const here = once(thing, "here");
seen.class = [await call(thing, "where", 5), await here];
const adminLeft = once(admin, "disconnect");
admin.disconnect();
seen.adminLeft = (await adminLeft)[0];
thing.io.engine.close();

// The end.
const kicked = once(b, "disconnect");
b.emit("kick");
seen.kicked = (await kicked)[0];
await new Promise((resolve) => setTimeout(resolve, 50));
a.disconnect();
console.log(JSON.stringify(seen));
