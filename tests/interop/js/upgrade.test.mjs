// Many upgrades from polling to WebSocket under numbered traffic in both directions: nothing is lost, doubled or reordered.
//
// UPGRADES sets how many (default 500), CONCURRENCY how many at a time (default 50).
//
// Every client sends numbered events from the moment it is created, half of them with an ack, some with attachments,
// until it has upgraded and a little longer. Meanwhile one more client broadcasts numbered ticks to all of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { io } from "socket.io-client";
import ioV2 from "socket.io-client-v2";
import { startServer } from "./server.mjs";
import { connected, LIMIT, next, sleep, within } from "./support.mjs";

const UPGRADES = Number(process.env.UPGRADES ?? 500);
const CONCURRENCY = Number(process.env.CONCURRENCY ?? 50);
const EVENTS_AFTER_UPGRADE = 10;
const BURST = 5;

const immediate = () => new Promise((resolve) => setImmediate(resolve));

/** Broadcasts the numbers 0, 1, 2, … in small bursts; `acked` is the last one that the server has acknowledged. */
class Ticker {
  acked = -1;
  #running = true;
  constructor(socket) {
    this.socket = socket;
    this.done = this.#run();
  }
  async #run() {
    for (let number = 0; this.#running; number += BURST) {
      const burst = Array.from({ length: BURST }, (_, index) => this.socket.timeout(LIMIT).emitWithAck("broadcast", "tick", number + index));
      await Promise.all(burst);
      this.acked = number + BURST - 1;
      await sleep(1);
    }
  }
  async stop() {
    this.#running = false;
    await this.done;
    this.socket.disconnect();
  }
}

/** Checks that `numbers` are consecutive, starting at `first`. */
function assertConsecutive(numbers, first, what) {
  const wrong = numbers.findIndex((number, index) => number !== first + index);
  assert.equal(wrong, -1, `${what}: ${numbers[wrong]} instead of ${first + wrong}, among ${numbers.slice(Math.max(0, wrong - 3), wrong + 4)}`);
}

/** One client from its creation to its upgrade; adds what it has seen to `totals`. */
async function upgradeUnderTraffic(create, ticker, totals) {
  const socket = create();
  const [echoes, acks, ticks] = [[], [], []];
  let disconnected;
  socket.on("disconnect", (reason) => (disconnected ??= reason));
  socket.on("echo", (number) => echoes.push(number));
  socket.on("tick", (number) => ticks.push(number));
  try {
    let sent = 0;
    let acked = 0;
    const send = () => {
      const attachment = sent % 7 === 0 ? Buffer.from([sent % 256, 1, 2]) : null;
      if (sent % 2) socket.emit("echo", sent, attachment);
      else socket.emit("echo", sent, attachment, (number) => acks.push(number) && acked++);
      sent++;
    };

    let upgraded = false;
    send();
    await connected(socket);
    const { engine } = socket.io;
    const upgrade = engine.transport.name === "websocket" ? Promise.resolve() : next(engine, "upgrade");
    upgrade.then(() => (upgraded = true), () => (upgraded = true));
    while (!upgraded) {
      send();
      send();
      await immediate();
      // Bounded: what is unanswered stays small, so that a slow machine is not drowned in its own traffic.
      if (acks.length < sent / 2 - 40) await sleep(1);
    }
    await upgrade;
    for (let count = 0; count < EVENTS_AFTER_UPGRADE; count++) send();

    const tail = ticker.acked;
    const [last] = await within(new Promise((resolve) => socket.emit("echo", "last", (...answer) => resolve(answer))), "last ack");
    assert.equal(last, "last");
    assert.equal(engine.transport.name, "websocket");
    assert.equal(disconnected, undefined);
    assert.equal(acked + echoes.length, sent);
    assertConsecutive(acks.map((number) => number / 2), 0, "acks");
    assertConsecutive(echoes.map((number) => (number - 1) / 2), 0, "echoes");
    if (ticks.length > 0) {
      assertConsecutive(ticks, ticks[0], "ticks");
      assert.ok(ticks.at(-1) >= tail, `the tick ${tail} was acknowledged, but ${ticks.at(-1)} is the last that arrived`);
    }
    totals.upgrades++;
    totals.acks += acks.length;
    totals.echoes += echoes.length;
    totals.ticks += ticks.length;
  } finally {
    socket.disconnect();
  }
}

async function manyUpgrades(t, { count, create, args = [] }) {
  const server = await startServer(args);
  t.after(server.stop);
  const ticker = new Ticker(await connected(io(server.url, { forceNew: true, transports: ["websocket"] })));
  const totals = { upgrades: 0, acks: 0, echoes: 0, ticks: 0 };
  let started = 0;
  const lane = async () => {
    while (started < count) {
      started++;
      await upgradeUnderTraffic(() => create(server.url), ticker, totals);
    }
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  } finally {
    await ticker.stop();
  }
  t.diagnostic(JSON.stringify(totals));
  assert.equal(totals.upgrades, count);
  assert.ok(totals.ticks > 0);
}

const TIMEOUT = { timeout: 60_000 + UPGRADES * 200 };

test(`${UPGRADES} upgrades, socket.io-client 4`, TIMEOUT, (t) =>
  manyUpgrades(t, { count: UPGRADES, create: (url) => io(url, { forceNew: true, reconnection: false }) }));

test(`${Math.ceil(UPGRADES / 5)} upgrades with a ping every 100 ms, socket.io-client 4`, TIMEOUT, (t) =>
  manyUpgrades(t, {
    count: Math.ceil(UPGRADES / 5),
    args: ["--ping-interval", "100ms", "--ping-timeout", "20s"],
    create: (url) => io(url, { forceNew: true, reconnection: false }),
  }));

test(`${Math.ceil(UPGRADES / 5)} upgrades, socket.io-client 2.5`, TIMEOUT, (t) =>
  manyUpgrades(t, { count: Math.ceil(UPGRADES / 5), args: ["--allow-eio3"], create: (url) => ioV2(url, { forceNew: true, reconnection: false }) }));
