// The cases that every client version and every transport passes alike: docs/demo-events.md, seen by a client.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alone, call, collect, connected, next, plain, upgraded } from "./support.mjs";
import { isReference } from "./server.mjs";

const TIMEOUT = { timeout: 60_000 };
const TOKEN = "kokanee";
const VALUES = [
  ["a text", ""],
  [0, -1, 1.5, 2 ** 31, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 1e-7],
  [true, false, null],
  [[], {}, [[]], { a: { b: [{ c: null }] } }],
  ["name", 1, [2, "three"], { four: 4 }],
];
const UNICODE = ["ä€ßø", "日本語", "emoji 😀👩‍👩‍👧 𝄞", "\u0000\u0001\u001e\u001f", "\u2028\u2029", 'quotes " \\ and / slashes', "﷽".repeat(100)];

const bytes = (length, seed = 0) => Buffer.from(Array.from({ length }, (_, index) => (index * 7 + seed) % 256));

/**
 * Defines the cases for one way to connect.
 *
 * `client.open(t, options)` opens a connection of its own for the test `t`; options: `namespace`, `token`.
 * `client.beside(socket, namespace, token)` opens a namespace on the connection of `socket`.
 * `client.upgrades` says that connections start on polling and end on WebSocket.
 */
export function defineCases(client) {
  const ready = (t, options) => connected(client.open(t, options));

  test("connect is followed by welcome with id and transport", TIMEOUT, async (t) => {
    const socket = client.open(t);
    const [welcome] = await next(socket, "welcome");
    assert.equal(typeof welcome.id, "string");
    assert.equal(typeof welcome.server, "string");
    assert.equal(welcome.transport, client.firstTransport);
    if (client.revision === 4) assert.equal(welcome.id, socket.id);
  });

  test("clock ticks for everybody", TIMEOUT, async (t) => {
    const [a, b] = [await ready(t), await ready(t)];
    for (const ticks of await Promise.all([collect(a, "clock", 2), collect(b, "clock", 2)])) {
      for (const [tick] of ticks) assert.deepEqual(Object.values(tick).map((value) => typeof value), ["number", "number", "number"]);
      assert.ok(ticks[1][0].time > ticks[0][0].time);
    }
  });

  test("an ack carries the same arguments back", TIMEOUT, async (t) => {
    const socket = await ready(t);
    for (const args of VALUES) assert.deepEqual(await call(socket, "echo", ...args), args);
  });

  test("an ack may have no argument", TIMEOUT, async (t) => {
    assert.deepEqual(await call(await ready(t), "echo"), []);
  });

  test("an event carries the same arguments back", TIMEOUT, async (t) => {
    const socket = await ready(t);
    for (const args of [...VALUES, []]) {
      const echo = next(socket, "echo");
      socket.emit("echo", ...args);
      assert.deepEqual(await echo, args);
    }
  });

  test("unicode and control characters survive in both directions", TIMEOUT, async (t) => {
    const socket = await ready(t);
    assert.deepEqual(await call(socket, "echo", ...UNICODE), UNICODE);
    const echo = next(socket, "echo");
    socket.emit("echo", ...UNICODE, { "ключ 😀": "значение" });
    assert.deepEqual(await echo, [...UNICODE, { "ключ 😀": "значение" }]);
  });

  test("an event name may be any text", TIMEOUT, async (t) => {
    const socket = await ready(t);
    for (const name of ["with space", "größe 😀", "1", "a,b", '["x"]', "{}"]) {
      const called = next(socket, name);
      const answer = call(socket, "call me", name, "x");
      const [value, ack] = await called;
      ack(value);
      assert.deepEqual(await answer, ["x"]);
    }
  });

  test("200 kB of text in both directions", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const text = "0123456789 äöü€😀".repeat(10_000);
    assert.deepEqual(await call(socket, "echo", text), [text]);
    const echo = next(socket, "echo");
    socket.emit("echo", text);
    assert.deepEqual(await echo, [text]);
  });

  test("binary at any depth in both directions", TIMEOUT, async (t) => {
    const socket = await ready(t);
    for (const args of [
      [bytes(4)],
      [Buffer.alloc(0)],
      [bytes(256), "text", bytes(1)],
      [{ a: bytes(3), b: [1, { c: bytes(5, 9) }], d: "text" }],
      [[[[bytes(2)]]], { x: { y: { z: bytes(7) } } }],
      Array.from({ length: 10 }, (_, index) => bytes(index, index)),
    ]) {
      assert.deepEqual(plain(await call(socket, "echo", ...args)), plain(args));
      const echo = next(socket, "echo");
      socket.emit("echo", ...args);
      assert.deepEqual(plain(await echo), plain(args));
    }
  });

  test("an object that looks like a placeholder stays what it is", TIMEOUT, async (t) => {
    const args = [{ _placeholder: true, num: 0 }, "x"];
    assert.deepEqual(await call(await ready(t), "echo", ...args), args);
  });

  test("300 kB of binary in both directions", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const data = bytes(300_000);
    const [answer] = await call(socket, "binary", data);
    assert.equal(answer.length, data.length);
    assert.ok(data.equals(Buffer.from(answer.bytes)));
    const echo = next(socket, "binary");
    socket.emit("binary", data);
    assert.ok(data.equals(Buffer.from((await echo)[0])));
  });

  test("the server calls the client and gets its ack", TIMEOUT, async (t) => {
    const socket = await ready(t);
    socket.on("add", (a, b, ack) => ack(a + b));
    socket.on("reverse", (data, ack) => ack({ reversed: Buffer.from(data).reverse() }));
    socket.on("all", (...args) => args.pop()(...args));
    assert.deepEqual(await call(socket, "call me", "add", 20, 22), [42]);
    assert.deepEqual(plain(await call(socket, "call me", "reverse", bytes(3, 1))), [{ reversed: plain(bytes(3, 1).reverse()) }]);
    assert.deepEqual(await call(socket, "call me", "all", 1, "two", [3]), [1, "two", [3]]);
  });

  test("the server calls everybody and gets a list of answers", TIMEOUT, async (t) => {
    const sockets = [await ready(t), await ready(t), await ready(t)];
    await alone(sockets[0], 3);
    sockets.forEach((socket, index) => socket.on("number", (base, ack) => ack(base + index)));
    sockets.forEach((socket, index) => socket.on("data", (ack) => ack(bytes(2, index))));
    const [numbers] = await call(sockets[1], "call everybody", "number", 10);
    assert.deepEqual(numbers.sort(), [10, 11, 12]);
    const [data] = await call(sockets[1], "call everybody", "data");
    assert.deepEqual(plain(data).sort((a, b) => a[0] - b[0]), [0, 1, 2].map((index) => plain(bytes(2, index))));
  });

  test("rooms: join, leave, and messages to the others in a room", TIMEOUT, async (t) => {
    const [a, b, c] = [await ready(t), await ready(t), await ready(t)];
    const id = Object.fromEntries(await Promise.all([["a", a], ["b", b]].map(async ([name, socket]) => {
      const mark = `mark of ${name}`;
      await call(socket, "join", mark);
      return [name, (await call(socket, "who"))[0].find(({ rooms }) => rooms.includes(mark)).id];
    })));
    assert.deepEqual((await call(a, "join", "red"))[0].sort(), ["mark of a", "red"]);
    const joined = next(a, "joined");
    assert.deepEqual((await call(b, "join", "red"))[0].sort(), ["mark of b", "red"]);
    assert.deepEqual(await joined, [{ room: "red", id: id.b }]);
    assert.deepEqual((await call(b, "rooms"))[0].sort(), ["mark of b", "red"]);
    assert.deepEqual(await call(c, "rooms"), [[]]);

    const heard = { a: [], b: [], c: [] };
    for (const [name, socket] of Object.entries({ a, b, c })) socket.on("room message", (message) => heard[name].push(message));
    const first = next(b, "room message");
    assert.deepEqual(await call(a, "room message", { room: "red", text: "to b" }), ["ok"]);
    await first;
    const both = Promise.all([next(a, "room message"), next(b, "room message")]);
    assert.deepEqual(await call(c, "room message", { room: "red", text: "from outside" }), ["ok"]);
    await both;

    const left = next(a, "left");
    assert.deepEqual(await call(b, "leave", "red"), [["mark of b"]]);
    assert.deepEqual(await left, [{ room: "red", id: id.b }]);
    await call(a, "room message", { room: "red", text: "to nobody" });
    for (const socket of [a, b, c]) await call(socket, "echo");
    assert.deepEqual(heard.a.map(({ text }) => text), ["from outside"]);
    assert.deepEqual(heard.b.map(({ text, from, room }) => [text, from === id.a, room]), [["to b", true, "red"], ["from outside", false, "red"]]);
    assert.deepEqual(heard.c, []);
  });

  test("broadcast reaches everybody else once", TIMEOUT, async (t) => {
    const [a, b, c] = [await ready(t), await ready(t), await ready(t)];
    await alone(a, 3);
    const heard = [[], [], []];
    [a, b, c].forEach((socket, index) => socket.on("news", (...args) => heard[index].push(plain(args))));
    assert.deepEqual(await call(a, "broadcast", "news", 1, { data: bytes(3) }), [2]);
    assert.deepEqual(await call(b, "broadcast", "news", "text"), [2]);
    for (const socket of [a, b, c]) await call(socket, "echo");
    const [binary, text] = [[1, { data: plain(bytes(3)) }], ["text"]];
    assert.deepEqual(heard, [[text], [binary], [binary, text]]);
  });

  test("a chat message reaches everybody, its sender included", TIMEOUT, async (t) => {
    const sockets = [await ready(t), await ready(t), await ready(t)];
    const heard = Promise.all(sockets.map((socket) => next(socket, "chat message")));
    assert.deepEqual(await call(sockets[0], "chat message", "hello 😀"), ["ok"]);
    const messages = (await heard).map(([message]) => message);
    assert.equal(messages[0].text, "hello 😀");
    assert.equal(typeof messages[0].from, "string");
    assert.ok(Number.isInteger(messages[0].at) && messages[0].at > 1.6e12);
    assert.deepEqual(messages[1], messages[0]);
    assert.deepEqual(messages[2], messages[0]);
  });

  test("who tells id, rooms and transport", TIMEOUT, async (t) => {
    const socket = await ready(t);
    if (client.upgrades) await upgraded(socket);
    await call(socket, "join", "blue");
    const [{ id, ...rest }] = await alone(socket);
    assert.equal(typeof id, "string");
    assert.deepEqual(rest, { rooms: ["blue"], transport: client.lastTransport });
  });

  test("2,000 numbered events stay in order, acks and echoes", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const numbers = Array.from({ length: 2_000 }, (_, number) => number);
    const echoes = collect(socket, "echo", numbers.length);
    const acked = [];
    const all = numbers.map((number) => {
      socket.emit("echo", number);
      return call(socket, "echo", number % 50 === 0 ? bytes(3, number) : "", number).then(([, answer]) => acked.push(answer));
    });
    await Promise.all(all);
    assert.deepEqual(acked, numbers);
    assert.deepEqual((await echoes).map(([number]) => number), numbers);
  });

  test("events behind one that waits are handled after it", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const order = [];
    await Promise.all([
      call(socket, "sleep", 200).then(([answer]) => order.push(answer)),
      call(socket, "echo", "second").then(([answer]) => order.push(answer)),
      call(socket, "echo", "third").then(([answer]) => order.push(answer)),
    ]);
    assert.deepEqual(order, ["slept", "second", "third"]);
  });

  test("a failing handler costs its event only", TIMEOUT, async (t) => {
    const socket = await ready(t);
    assert.deepEqual(await call(socket, "fail"), [{ error: { code: "internal", message: "internal error" } }]);
    socket.emit("fail");
    assert.deepEqual(await call(socket, "echo", "still here"), ["still here"]);
    assert.ok(socket.connected);
  });

  test("an error that is meant for the client is an object with code, message and data", { ...TIMEOUT, skip: isReference && "its rooms have any name" }, async (t) => {
    const [other] = await next(client.open(t), "welcome");
    const [{ error, ...rest }] = await call(await ready(t), "join", other.id);
    assert.deepEqual({ ...error, message: undefined, ...rest }, { code: "not_joined", message: undefined, data: { room: other.id } });
    assert.match(error.message, /another socket/);
  });

  test("arguments that do not fit are an object with code and message", { ...TIMEOUT, skip: isReference && "its rooms have any name" }, async (t) => {
    const [{ error }] = await call(await ready(t), "join", [7]);
    assert.deepEqual(Object.keys(error), ["code", "message"]);
    assert.equal(error.code, "invalid_payload");
  });

  test("an event that nobody handles is ignored", TIMEOUT, async (t) => {
    const socket = await ready(t);
    socket.emit("nobody handles this", 1, bytes(3));
    assert.deepEqual(await call(socket, "echo", 1), [1]);
  });

  test("events emitted before connect arrive in order", TIMEOUT, async (t) => {
    const socket = client.open(t);
    const echoes = collect(socket, "echo", 20);
    for (let number = 0; number < 20; number++) socket.emit("echo", number, number % 5 === 0 ? bytes(number) : null);
    assert.deepEqual((await echoes).map(([number]) => number), Array.from({ length: 20 }, (_, number) => number));
  });

  test("/private accepts the token, echoes, and tells the auth", TIMEOUT, async (t) => {
    const socket = await ready(t, { namespace: "/private", token: TOKEN });
    assert.deepEqual(plain(await call(socket, "echo", "x", bytes(3))), ["x", plain(bytes(3))]);
    assert.deepEqual(await call(socket, "whoami"), [{ token: TOKEN }]);
    const echo = next(socket, "echo");
    socket.emit("echo", 1, 2);
    assert.deepEqual(await echo, [1, 2]);
  });

  test("/private refuses a wrong token and none, with data", TIMEOUT, async (t) => {
    for (const token of ["wrong", undefined]) {
      const socket = client.open(t, { namespace: "/private", token });
      const { message, data } = await client.refusal(socket);
      if (message !== undefined) assert.equal(message, "not authorized");
      assert.deepEqual(data, { code: 401, hint: 'auth must be {token: "kokanee"}' });
      assert.ok(!socket.connected);
    }
  });

  test("an unknown namespace is refused, the connection stays", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const { message } = await client.refusal(client.beside(socket, "/nowhere"));
    assert.equal(message, "Invalid namespace");
    assert.deepEqual(await call(socket, "echo", "here"), ["here"]);
  });

  test("two namespaces share one connection and do not mix", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const other = await connected(client.beside(socket, "/private", TOKEN));
    const [heard, heardOther] = [[], []];
    socket.on("echo", (value) => heard.push(value));
    other.on("echo", (value) => heardOther.push(value));
    for (let number = 0; number < 50; number++) (number % 2 ? other : socket).emit("echo", number);
    await Promise.all([call(socket, "echo"), call(other, "echo")]);
    assert.deepEqual(heard, Array.from({ length: 25 }, (_, index) => 2 * index));
    assert.deepEqual(heardOther, Array.from({ length: 25 }, (_, index) => 2 * index + 1));
  });

  test("disconnect by the server leaves the connection to other namespaces", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const other = await connected(client.beside(socket, "/private", TOKEN));
    const reason = next(socket, "disconnect");
    socket.emit("disconnect me", false);
    assert.equal((await reason)[0], "io server disconnect");
    assert.deepEqual(await call(other, "echo", "still here"), ["still here"]);
  });

  test("disconnect and close by the server ends all namespaces", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const other = await connected(client.beside(socket, "/private", TOKEN));
    if (client.upgrades) await upgraded(socket);
    const closed = next(socket.io.engine, "close");
    const reasons = Promise.all([next(socket, "disconnect"), next(other, "disconnect")]);
    socket.emit("disconnect me", true);
    assert.deepEqual((await reasons).map(([reason]) => reason), ["io server disconnect", "io server disconnect"]);
    await closed;
  });

  test("events emitted before the server disconnects arrive first", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const heard = [];
    socket.on("echo", (number) => heard.push(number));
    const gone = next(socket, "disconnect");
    for (let number = 0; number < 20; number++) socket.emit("echo", number);
    socket.emit("disconnect me", true);
    await gone;
    assert.deepEqual(heard, Array.from({ length: 20 }, (_, number) => number));
  });

  test("disconnect by the client is seen by the server, and connect works again", TIMEOUT, async (t) => {
    const [a, b] = [await ready(t), await ready(t)];
    await alone(a, 2);
    const reason = next(b, "disconnect");
    // Client 2.5 confuses the end of its old connection with that of the new one unless the old one has ended.
    const closed = next(b.io.engine, "close");
    b.disconnect();
    assert.equal((await reason)[0], "io client disconnect");
    await closed;
    await alone(a, 1);
    b.connect();
    await connected(b);
    await alone(a, 2);
    assert.deepEqual(await call(b, "rooms"), [[]]);
  });

  test("a client that leaves one namespace keeps the other", TIMEOUT, async (t) => {
    const socket = await ready(t);
    const other = await connected(client.beside(socket, "/private", TOKEN));
    other.disconnect();
    assert.deepEqual(await call(socket, "echo", 1), [1]);
    other.connect();
    await connected(other);
    assert.deepEqual(await call(other, "echo", 2), [2]);
  });

  test("30 clients at once", TIMEOUT, async (t) => {
    const sockets = await Promise.all(Array.from({ length: 30 }, () => ready(t)));
    await alone(sockets[0], 30);
    const heard = Promise.all(sockets.map((socket) => next(socket, "chat message")));
    await call(sockets[7], "chat message", "all");
    assert.equal((await heard).length, 30);
  });
}
