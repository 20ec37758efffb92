// Connection state recovery: socket.io-client 4.8 whose connections are cut, on every transport.
//
// CUTS sets for how many seconds clients are cut (default 4), CLIENTS how many there are (default 60).

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import msgpackParser from "socket.io-msgpack-parser";
import { isReference, startServer } from "./server.mjs";
import { call, connected, next, sleep, upgraded, within } from "./support.mjs";

const TIMEOUT = { timeout: 180_000 };
const SECONDS = Number(process.env.CUTS ?? 4);
const CLIENTS = Number(process.env.CLIENTS ?? 60);
const ways = [
  { name: "polling", options: { transports: ["polling"] } },
  { name: "websocket", options: { transports: ["websocket"] } },
  { name: "polling, then upgrade", options: {} },
  { name: "websocket, msgpack", options: { transports: ["websocket"], parser: msgpackParser }, server: ["--parser", "msgpack"] },
];

/** Opens a connection of its own that ends with the test, and reconnects soon. */
function open(t, url, options = {}) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
  t.after(() => socket.disconnect());
  return socket;
}

/** Cuts the connection: the WebSocket's stream ends, or requests of long-polling fail, of which the server hears nothing. */
function cut(socket) {
  const { transport } = socket.io.engine;
  if (transport.name === "websocket") transport.ws.terminate();
  else transport.onError("cut by the test");
}

const reconnected = (socket) => within(new Promise((resolve) => socket.once("connect", resolve)), "the reconnection");

for (const { name, options, server: args = [] } of ways) {
  describe(`recovery, ${name}`, () => {
    const server = {};
    before(async () => Object.assign(server, await startServer(["--recovery=20s", ...args])));
    after(() => server.stop?.());

    test("id, rooms and missed events return in order", TIMEOUT, async (t) => {
      const socket = await connected(open(t, server.url, options));
      if (options.transports === undefined) await upgraded(socket);
      const other = await connected(open(t, server.url, { transports: ["websocket"], parser: options.parser }));
      assert.equal(socket.recovered, false);
      await call(socket, "join", "red");
      await next(socket, "clock");
      const { id } = socket;
      const seen = [];
      socket.on("number", (number, bytes) => seen.push([number, ...bytes]));
      socket.on("room message", ({ text }) => seen.push(text));
      const back = reconnected(socket);
      cut(socket);
      for (let number = 0; number < 10; number += 1) {
        await call(other, "broadcast", "number", number, Buffer.from([number]));
        await call(other, "room message", { room: number % 2 ? "red" : "blue", text: `text ${number}` });
      }
      await back;
      assert.equal(socket.recovered, true);
      assert.equal(socket.id, id);
      const expected = [];
      for (let number = 0; number < 10; number += 1) {
        expected.push([number, number]);
        if (number % 2) expected.push(`text ${number}`);
      }
      for (const end = Date.now() + 5_000; seen.length < expected.length && Date.now() < end; ) await sleep(10);
      assert.deepEqual(seen, expected);
      assert.deepEqual(await call(socket, "rooms"), [["red"]]);
    });

    test("a socket that has been disconnected is new", TIMEOUT, async (t) => {
      for (const end of [(socket) => socket.disconnect(), (socket) => socket.emit("disconnect me", false)]) {
        const socket = await connected(open(t, server.url, options));
        await next(socket, "clock");
        const { id } = socket;
        const ended = new Promise((resolve) => socket.once("disconnect", resolve));
        end(socket);
        await within(ended, "the end");
        const back = reconnected(socket);
        socket.connect();
        await back;
        assert.equal(socket.recovered, false);
        assert.notEqual(socket.id, id);
      }
    });
  });
}

// The original keeps no state of a socket that it believes connected, which is what a cut of long-polling leaves.
describe("recovery of many", { skip: isReference }, () => {
  const server = {};
  before(async () => Object.assign(server, await startServer(["--recovery=60s"])));
  after(() => server.stop?.());

  test("clients that are cut at random moments get everything, once, in order", TIMEOUT, async (t) => {
    const sockets = [];
    for (let index = 0; index < CLIENTS; index += 1) {
      const transports = [["polling"], ["websocket"], ["polling", "websocket"]][index % 3];
      const socket = open(t, server.url, { transports, reconnectionAttempts: 1_000 });
      socket.numbers = [];
      socket.ids = new Set();
      socket.on("number", (number) => socket.numbers.push(number));
      socket.on("connect", () => socket.ids.add(socket.id));
      sockets.push(socket);
    }
    await Promise.all(sockets.map(connected));
    const sender = await connected(open(t, server.url, { transports: ["websocket"] }));
    const end = Date.now() + SECONDS * 1_000;
    let [sent, cuts] = [0, 0];
    while (Date.now() < end) {
      await call(sender, "broadcast", "number", sent);
      sent += 1;
      const socket = sockets[Math.floor(Math.random() * sockets.length)];
      if (socket.connected) {
        cut(socket);
        cuts += 1;
      }
      await sleep(5);
    }
    for (const limit = Date.now() + 20_000; sockets.some(({ numbers }) => numbers.length < sent) && Date.now() < limit; ) await sleep(20);
    for (const { numbers, ids, connected: isConnected } of sockets) {
      const gap = numbers.findIndex((number, index) => number !== index);
      const what = `${numbers.length} of ${sent} events, the first wrong one at ${gap}, ${ids.size} ids, connected: ${isConnected}`;
      assert.equal(ids.size, 1, `recovered each time: ${what}`);
      assert.ok(numbers.length === sent && gap === -1, what);
    }
    assert.ok(cuts > SECONDS * 10, `${cuts} cuts`);
    t.diagnostic(`${cuts} cuts, ${sent} events, ${CLIENTS} clients`);
  });
});
