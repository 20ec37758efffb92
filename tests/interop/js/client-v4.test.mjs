// socket.io-client 4.8 against the server under test: every transport and parser, restarts, heartbeats.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import msgpackParser from "socket.io-msgpack-parser";
import { defineCases } from "./cases.mjs";
import { freePort, isReference, startServer } from "./server.mjs";
import { call, collect, connected, LIMIT, next, sleep, upgraded, within } from "./support.mjs";

const TIMEOUT = { timeout: 60_000 };
const ways = [
  { name: "polling", options: { transports: ["polling"] } },
  { name: "websocket", options: { transports: ["websocket"] } },
  { name: "polling, then upgrade", options: {} },
  { name: "websocket first, polling second", options: { transports: ["websocket", "polling"] } },
  { name: "polling, forceBase64", options: { transports: ["polling"], forceBase64: true } },
  { name: "websocket, forceBase64", options: { transports: ["websocket"], forceBase64: true } },
  { name: "polling, msgpack", options: { transports: ["polling"], parser: msgpackParser }, server: ["--parser", "msgpack"] },
  { name: "websocket, msgpack", options: { transports: ["websocket"], parser: msgpackParser }, server: ["--parser", "msgpack"] },
  { name: "upgrade, msgpack", options: { parser: msgpackParser }, server: ["--parser", "msgpack"] },
];
// The original has one parser per server.
const bothParsers = isReference
  ? []
  : [
      { name: "polling, default parser beside msgpack", options: { transports: ["polling"] }, server: ["--parser", "both"] },
      { name: "upgrade, default parser beside msgpack", options: {}, server: ["--parser", "both"] },
      { name: "websocket, msgpack beside the default parser", options: { transports: ["websocket"], parser: msgpackParser }, server: ["--parser", "both"] },
      { name: "upgrade, msgpack beside the default parser", options: { parser: msgpackParser }, server: ["--parser", "both"] },
    ];

/** Opens a connection of its own that ends with the test. */
function open(t, url, options = {}) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  t.after(() => socket.disconnect());
  return socket;
}

/** Starts a server for a suite; `server.url` is valid inside its tests. */
function serverOf(args) {
  const server = {};
  before(async () => Object.assign(server, await startServer(args)));
  after(() => server.stop?.());
  return server;
}

for (const { name, options, server: args = [] } of [...ways, ...bothParsers]) {
  describe(`socket.io-client 4, ${name}`, () => {
    const server = serverOf(args);
    const upgrades = options.transports === undefined;
    const client = {
      revision: 4,
      upgrades,
      firstTransport: options.transports?.[0] ?? "polling",
      lastTransport: upgrades ? "websocket" : options.transports[0],
      open: (t, { namespace = "/", token } = {}) => open(t, server.url + namespace, { ...options, ...(token && { auth: { token } }) }),
      beside: (socket, namespace, token) => socket.io.socket(namespace, token && { auth: { token } }),
      refusal: async (socket) => (await next(socket, "connect_error"))[0],
    };
    defineCases(client);

    test("a volatile event arrives on an idle connection", TIMEOUT, async (t) => {
      const socket = await connected(client.open(t));
      if (upgrades) await upgraded(socket);
      await call(socket, "echo");
      // On polling a POST may still be under way, and then the client itself drops the event: hence several.
      const echo = next(socket, "echo");
      const repeat = setInterval(() => socket.volatile.emit("echo", "volatile", Buffer.from([1, 2])), 20);
      const [text, data] = await echo.finally(() => clearInterval(repeat));
      assert.deepEqual([text, ...data], ["volatile", 1, 2]);
    });

    test("the compress flag changes nothing that a client can see", TIMEOUT, async (t) => {
      const socket = await connected(client.open(t));
      const text = "compressible ".repeat(1_000);
      for (const flag of [true, false]) {
        const echo = next(socket, "echo");
        socket.compress(flag).emit("echo", text);
        assert.deepEqual(await echo, [text]);
      }
    });

    test("a late ack is a timeout, and later events are answered", TIMEOUT, async (t) => {
      const socket = await connected(client.open(t));
      await assert.rejects(socket.timeout(50).emitWithAck("sleep", 500), /operation has timed out/);
      assert.equal(await socket.timeout(LIMIT).emitWithAck("echo", "after"), "after");
    });
  });
}

describe("socket.io-client 4, acks that never come", () => {
  const server = serverOf([]);

  test("a client that does not answer costs the caller a timeout, and nothing else", TIMEOUT, async (t) => {
    const socket = await connected(open(t, server.url));
    socket.on("no answer", () => {});
    const [answer] = await call(socket, "call me", "no answer");
    assert.ok(answer.error);
    assert.deepEqual(await call(socket, "echo", 1), [1]);
  });

  test("one of three that does not answer leaves two answers", TIMEOUT, async (t) => {
    const sockets = await Promise.all([0, 1, 2].map(() => connected(open(t, server.url))));
    sockets.slice(1).forEach((socket) => socket.on("question", (ack) => ack("answer")));
    assert.deepEqual(await call(sockets[0], "call everybody", "question"), [["answer", "answer"]]);
  });

  test("retries deliver each event once and in order", TIMEOUT, async (t) => {
    const socket = open(t, server.url, { retries: 3, ackTimeout: 5_000 });
    const order = await Promise.all([1, 2, 3, 4].map((number) => socket.emitWithAck("echo", number)));
    assert.deepEqual(order, [1, 2, 3, 4]);
  });

  test("auth may be a function", TIMEOUT, async (t) => {
    const socket = await connected(open(t, `${server.url}/private`, { auth: (give) => setTimeout(give, 10, { token: "kokanee", more: [1] }) }));
    assert.deepEqual(await call(socket, "whoami"), [{ token: "kokanee", more: [1] }]);
  });

  test("a refused namespace is accepted with the right token later", TIMEOUT, async (t) => {
    const socket = open(t, `${server.url}/private`, { auth: { token: "wrong" } });
    await next(socket, "connect_error");
    socket.auth = { token: "kokanee" };
    socket.connect();
    await connected(socket);
    assert.deepEqual(await call(socket, "echo", 1), [1]);
  });

  test("query and extra headers do not disturb", TIMEOUT, async (t) => {
    const socket = await connected(open(t, server.url, { query: { a: "1 ä&=", sid2: "x" }, extraHeaders: { "x-test": "value" } }));
    await upgraded(socket);
    assert.deepEqual(await call(socket, "echo", 1), [1]);
  });
});

describe("socket.io-client 4, heartbeats", () => {
  const server = serverOf(["--ping-interval", "300ms", "--ping-timeout", "10s"]);
  const hasty = serverOf(["--ping-interval", "300ms", "--ping-timeout", "200ms"]);

  for (const [name, options] of [["polling", { transports: ["polling"] }], ["websocket", { transports: ["websocket"] }], ["upgrade", {}]]) {
    test(`${name}: pings come and the connection stays`, TIMEOUT, async (t) => {
      const socket = await connected(open(t, server.url, options));
      let lost = false;
      socket.on("disconnect", () => (lost = true));
      await collect(socket.io, "ping", 4);
      assert.deepEqual(await call(socket, "echo", 1), [1]);
      assert.equal(lost, false);
    });

    test(`${name}: a sleeping handler does not stop the heartbeat`, TIMEOUT, async (t) => {
      const socket = await connected(open(t, server.url, options));
      const pings = collect(socket.io, "ping", 3);
      assert.deepEqual(await call(socket, "sleep", 1_500), ["slept"]);
      await pings;
    });

    test(`${name}: a server that stands still is noticed by the client`, TIMEOUT, async (t) => {
      const socket = await connected(open(t, hasty.url, options));
      if (name === "upgrade") await upgraded(socket);
      const reason = next(socket, "disconnect");
      hasty.signal("SIGSTOP");
      try {
        assert.equal((await reason)[0], "ping timeout");
      } finally {
        hasty.signal("SIGCONT");
      }
    });
  }
});

describe("socket.io-client 4, restart of the server", () => {
  for (const [name, options] of [["polling", { transports: ["polling"] }], ["websocket", { transports: ["websocket"] }], ["upgrade", {}]]) {
    test(`${name}: the client reconnects and goes on`, TIMEOUT, async (t) => {
      const port = await freePort();
      let server = await startServer([], port);
      t.after(() => server.stop());
      const socket = open(t, server.url, { ...options, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
      await connected(socket);
      if (name === "upgrade") await upgraded(socket);
      const before = socket.id;
      const lost = next(socket, "disconnect");
      await server.stop();
      const [reason] = await lost;
      assert.ok(["transport close", "transport error"].includes(reason), reason);

      const echoes = collect(socket, "echo", 3);
      for (const number of [1, 2, 3]) socket.emit("echo", number);
      socket.volatile.emit("echo", "lost by choice");
      const again = next(socket, "connect");
      server = await startServer([], port);
      await again;
      assert.notEqual(socket.id, before);
      assert.deepEqual((await echoes).map(([number]) => number), [1, 2, 3]);
      assert.deepEqual(await call(socket, "echo", "again"), ["again"]);
    });
  }
});

describe("socket.io-client 4, options of the server", () => {
  test("--path moves the endpoint", TIMEOUT, async (t) => {
    const server = await startServer(["--path", "/elsewhere"]);
    t.after(server.stop);
    const socket = await connected(open(t, server.url, { path: "/elsewhere" }));
    await upgraded(socket);
    assert.deepEqual(await call(socket, "echo", 1), [1]);
  });

  test("--transports polling offers no upgrade and refuses websocket", TIMEOUT, async (t) => {
    const server = await startServer(["--transports", "polling"]);
    t.after(server.stop);
    const socket = await connected(open(t, server.url));
    await sleep(200);
    assert.equal(socket.io.engine.transport.name, "polling");
    await next(open(t, server.url, { transports: ["websocket"] }), "connect_error");
  });

  test("--transports websocket refuses polling", TIMEOUT, async (t) => {
    const server = await startServer(["--transports", "websocket"]);
    t.after(server.stop);
    await next(open(t, server.url, { transports: ["polling"] }), "connect_error");
    const socket = await connected(open(t, server.url, { transports: ["websocket"] }));
    assert.deepEqual(await call(socket, "echo", 1), [1]);
  });

  test("tryAllTransports falls back to websocket", TIMEOUT, async (t) => {
    const server = await startServer(["--transports", "websocket"]);
    t.after(server.stop);
    const socket = await within(connected(open(t, server.url, { transports: ["polling", "websocket"], tryAllTransports: true })), "connection");
    assert.equal(socket.io.engine.transport.name, "websocket");
  });
});
