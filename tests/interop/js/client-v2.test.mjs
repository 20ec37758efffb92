// socket.io-client 2.5 (Engine.IO revision 3) against the server under test, started with --allow-eio3.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import io from "socket.io-client-v2";
import { defineCases } from "./cases.mjs";
import { freePort, startServer } from "./server.mjs";
import { call, collect, connected, next, upgraded } from "./support.mjs";

const TIMEOUT = { timeout: 60_000 };
const ways = [
  ["polling", { transports: ["polling"] }],
  ["websocket", { transports: ["websocket"] }],
  ["polling, then upgrade", {}],
  ["polling, forceBase64", { transports: ["polling"], forceBase64: true }],
  ["websocket, forceBase64", { transports: ["websocket"], forceBase64: true }],
];

/** Opens a connection of its own that ends with the test. */
function open(t, url, options = {}) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  t.after(() => {
    socket.disconnect();
    socket.io.close();
  });
  return socket;
}

for (const [name, options] of ways) {
  describe(`socket.io-client 2.5, ${name}`, () => {
    let server;
    before(async () => (server = await startServer(["--allow-eio3"])));
    after(() => server.stop());
    const upgrades = options.transports === undefined;
    defineCases({
      revision: 3,
      upgrades,
      firstTransport: options.transports?.[0] ?? "polling",
      lastTransport: upgrades ? "websocket" : options.transports[0],
      open: (t, { namespace = "/", token } = {}) => open(t, `${server.url}${namespace}${token ? `?token=${token}` : ""}`, options),
      beside: (socket, namespace, token) => socket.io.socket(namespace, token && { query: `token=${token}` }),
      // The old protocol refuses with the error's data alone, or with {message} for an unknown namespace.
      refusal: async (socket) => {
        const [error] = await next(socket, "error");
        return error.message === undefined ? { data: error } : error;
      },
    });
  });
}

describe("socket.io-client 2.5, heartbeats", () => {
  let patient;
  let hasty;
  before(async () => {
    patient = await startServer(["--allow-eio3", "--ping-interval", "300ms", "--ping-timeout", "10s"]);
    hasty = await startServer(["--allow-eio3", "--ping-interval", "300ms", "--ping-timeout", "200ms"]);
  });
  after(() => Promise.all([patient.stop(), hasty.stop()]));

  for (const [name, options] of ways.slice(0, 3)) {
    const start = async (t, server) => {
      const socket = await connected(open(t, server.url, options));
      if (options.transports === undefined) await upgraded(socket);
      return socket;
    };

    test(`${name}: pings are answered and the connection stays`, TIMEOUT, async (t) => {
      const socket = await start(t, patient);
      let lost = false;
      socket.on("disconnect", () => (lost = true));
      await collect(socket, "pong", 4);
      assert.deepEqual(await call(socket, "echo", 1), [1]);
      assert.equal(lost, false);
    });

    test(`${name}: a server that stands still is noticed by the client`, TIMEOUT, async (t) => {
      const socket = await start(t, hasty);
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

describe("socket.io-client 2.5, restart of the server", () => {
  for (const [name, options] of ways.slice(0, 3)) {
    test(`${name}: the client reconnects and goes on`, TIMEOUT, async (t) => {
      const port = await freePort();
      let server = await startServer(["--allow-eio3"], port);
      t.after(() => server.stop());
      const socket = open(t, server.url, { ...options, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 });
      await connected(socket);
      if (name.endsWith("upgrade")) await upgraded(socket);
      const lost = next(socket, "disconnect");
      await server.stop();
      const [reason] = await lost;
      assert.ok(["transport close", "transport error"].includes(reason), reason);
      const echoes = collect(socket, "echo", 3);
      for (const number of [1, 2, 3]) socket.emit("echo", number);
      server = await startServer(["--allow-eio3"], port);
      assert.deepEqual((await echoes).map(([number]) => number), [1, 2, 3]);
      assert.deepEqual(await call(socket, "echo", "again"), ["again"]);
    });
  }
});
