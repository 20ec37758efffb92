// The demo page in headless Chromium, with the official client and with the page's own small one.
//
// CHROMIUM names the browser (default /usr/bin/chromium). Screenshots go to out/.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { freePort, startServer } from "./server.mjs";
import { LIMIT } from "./support.mjs";

const TIMEOUT = { timeout: 120_000 };
const OUT = fileURLToPath(new URL("../out/", import.meta.url));
const OFFICIAL_CLIENT = fileURLToPath(new URL("../node_modules/socket.io-client/dist", import.meta.url));
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The page's state as it writes it on the root element. */
const rootIs = (page, name, value) =>
  page.waitForFunction(([key, wanted]) => document.documentElement.dataset[key] === wanted, [name, value], { timeout: LIMIT });

for (const { name, label, args, clientName } of [
  { name: "official", label: "the official client", args: ["--serve-client", OFFICIAL_CLIENT], clientName: /official/ },
  { name: "small", label: "the page's own client", args: [], clientName: /small/ },
]) {
  describe(`the demo page with ${label}`, () => {
    const profile = mkdtempSync(join(tmpdir(), "kokanee-browser-"));
    let server;
    let browser;
    const problems = [];

    before(async () => {
      mkdirSync(OUT, { recursive: true });
      server = await startServer(args);
      browser = await chromium.launchPersistentContext(profile, {
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args: FLAGS,
        viewport: { width: 1280, height: 1000 },
      });
    });
    after(async () => {
      await browser?.close();
      await server?.stop();
      rmSync(profile, { recursive: true, force: true });
    });

    /** Opens the page and waits until it is connected and has upgraded. */
    async function openPage(t) {
      const page = await browser.newPage();
      page.setDefaultTimeout(LIMIT);
      page.on("pageerror", (error) => problems.push(String(error)));
      t.after(() => page.close());
      await page.goto(server.url);
      await rootIs(page, "state", "connected");
      await rootIs(page, "transport", "websocket");
      return page;
    }

    test("connects and upgrades to websocket", TIMEOUT, async (t) => {
      const page = await openPage(t);
      assert.match(await page.locator("#client-name").textContent(), clientName);
      assert.equal(await page.evaluate(() => window.kokanee.state()), "connected");
      assert.equal(await page.locator("#socket-id").textContent(), await page.evaluate(() => window.kokanee.socket.id));
      await page.waitForFunction(() => document.querySelector("#clock-clients").textContent === "1");
      await page.screenshot({ path: join(OUT, `${name}-connected.png`), fullPage: true });
      assert.deepEqual(problems, []);
    });

    test("a chat message reaches two pages, and stays text", TIMEOUT, async (t) => {
      const [one, two] = [await openPage(t), await openPage(t)];
      const text = `hello <b>${name}</b> 😀`;
      await one.fill("#chat-text", text);
      await one.click("#chat-form button");
      for (const page of [one, two]) await page.locator("#chat-feed li", { hasText: text }).waitFor();
      assert.equal(await one.locator("#chat-feed b").count(), 0);
      await two.screenshot({ path: join(OUT, `${name}-chat.png`), fullPage: true });
      assert.deepEqual(problems, []);
    });

    test("a room message reaches the other member only", TIMEOUT, async (t) => {
      const [one, two, outside] = [await openPage(t), await openPage(t), await openPage(t)];
      for (const page of [one, two]) {
        await page.fill("#room-name", "salmon");
        await page.click("#room-join-form button");
        await page.locator("#room-chips", { hasText: "salmon" }).waitFor();
      }
      await one.fill("#room-text", "to the room");
      await one.click("#room-form button");
      await two.locator("#room-feed li", { hasText: "to the room" }).waitFor();
      await one.locator("#room-feed li", { hasText: "joined salmon" }).waitFor();
      await outside.evaluate(() => new Promise((resolve) => window.kokanee.socket.emit("echo", resolve)));
      assert.equal(await outside.locator("#room-feed li", { hasText: "to the room" }).count(), 0);
    });

    test("binary comes back the same at every size", TIMEOUT, async (t) => {
      const page = await openPage(t);
      for (const size of ["16", "65536", "900000"]) {
        await page.selectOption("#binary-size", size);
        await page.click("#binary-form button");
        const bytes = Number(size).toLocaleString("en");
        await page.locator("#binary-result.good", { hasText: `${bytes} bytes came back the same` }).waitFor();
      }
      await page.screenshot({ path: join(OUT, `${name}-binary.png`), fullPage: true });
      assert.deepEqual(problems, []);
    });

    test("events by script: several arguments, nested binary, acks", TIMEOUT, async (t) => {
      const page = await openPage(t);
      const answer = await page.evaluate(
        () =>
          new Promise((resolve) => {
            const sent = [1, "zwei €😀", { deep: [new Uint8Array([1, 2, 255])] }, null];
            window.kokanee.socket.emit("echo", ...sent, (a, b, c, d) => resolve([a, b, [...new Uint8Array(c.deep[0])], d]));
          }),
      );
      assert.deepEqual(answer, [1, "zwei €😀", [1, 2, 255], null]);
      // The page answers every call with the arguments of the call.
      const called = await page.evaluate(() => new Promise((resolve) => window.kokanee.socket.emit("call me", "greet", 42, resolve)));
      assert.equal(called, 42);
    });

    test("no placeholder and no choice is cut on any screen", TIMEOUT, async (t) => {
      const page = await openPage(t);
      for (const width of [320, 390, 480, 600, 768, 1024, 1180, 1280, 1560]) {
        await page.setViewportSize({ width, height: 900 });
        const cut = await page.evaluate(() => {
          const context = document.createElement("canvas").getContext("2d");
          const room = (field) => {
            const style = getComputedStyle(field);
            context.font = style.font;
            const arrow = field.tagName === "SELECT" ? 20 : 0;
            return field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - arrow;
          };
          document.querySelector(".raw").hidden = false;
          const shown = (field) => field.placeholder ?? field.selectedOptions[0].text;
          const isCut = (field) => room(field) < context.measureText(shown(field)).width;
          return [...document.querySelectorAll("[placeholder], select")].filter(isCut).map(({ id }) => id);
        });
        assert.deepEqual(cut, [], `${width} px`);
      }
    });

    test("a failed answer does not look like a success", TIMEOUT, async (t) => {
      const page = await openPage(t);
      const emit = async (name) => {
        await page.click(`#emit-presets button:text-is("${name}")`);
        await page.click("#emit-form button[type=submit]");
      };
      await emit("fail");
      await page.locator("#emit-result.bad", { hasText: "Failed after" }).waitFor();
      assert.match(await page.locator("#emit-result").textContent(), /"code": "internal"/);
      await page.locator("#log-rows li.failed", { hasText: "fail failed" }).waitFor();
      await page.screenshot({ path: join(OUT, `${name}-failed.png`), fullPage: true });
      await emit("who");
      await page.locator("#emit-result.good").waitFor();
      assert.equal(await page.locator("#log-rows li.failed").count(), 1);
    });

    test("JSON is broken between its words", TIMEOUT, async (t) => {
      const page = await openPage(t);
      const sent = Array.from({ length: 12 }, (_, n) => ({ [`name${n}`]: "a".repeat(n + 1), list: [n, true, null] }));
      await page.fill("#emit-name", "echo");
      await page.fill("#emit-args", JSON.stringify(sent).slice(1, -1));
      await page.click("#emit-form button[type=submit]");
      await page.locator("#emit-result.good").waitFor();
      await page.locator("#log-rows details summary").first().click();
      for (const width of [320, 390, 768, 1280]) {
        await page.setViewportSize({ width, height: 900 });
        const broken = await page.evaluate(() => {
          const words = (node) => [...node.textContent.matchAll(/\S+/g)].map(({ index, 0: word }) => {
            const range = document.createRange();
            range.setStart(node.firstChild, index);
            range.setEnd(node.firstChild, index + word.length);
            return { word, lines: new Set([...range.getClientRects()].map(({ top }) => top)).size };
          });
          const texts = document.querySelectorAll("#log-rows pre, #log-rows div.args, #emit-result");
          return [...texts].flatMap(words).filter(({ lines }) => lines > 1).map(({ word }) => word);
        });
        assert.deepEqual(broken, [], `${width} px`);
      }
    });

    test("on a phone the log is one tap away, and the top too", TIMEOUT, async (t) => {
      const page = await openPage(t);
      await page.setViewportSize({ width: 390, height: 844 });
      const isInView = (id) =>
        page.waitForFunction((wanted) => {
          const { top, bottom } = document.querySelector(wanted).getBoundingClientRect();
          return top >= 0 && bottom <= innerHeight;
        }, id);
      await page.click("#to-log");
      await isInView("#log-title");
      await page.locator("#log-rows li").first().waitFor();
      await page.locator("#to-log", { hasText: "Top" }).waitFor();
      await page.screenshot({ path: join(OUT, `${name}-phone-log.png`) });
      await page.click("#to-log");
      await isInView(".top");
      await page.locator("#to-log", { hasText: "Event log" }).waitFor();
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.locator("#to-log").waitFor({ state: "hidden" });
    });

    test("a disconnect is shown, and the page comes back after a restart", TIMEOUT, async (t) => {
      const port = await freePort();
      let own = await startServer(args, port);
      t.after(() => own.stop());
      const page = await browser.newPage();
      page.setDefaultTimeout(LIMIT);
      t.after(() => page.close());
      await page.goto(own.url);
      await rootIs(page, "transport", "websocket");
      await own.stop();
      await page.waitForFunction(() => document.documentElement.dataset.state !== "connected");
      await page.screenshot({ path: join(OUT, `${name}-lost.png`), fullPage: true });
      own = await startServer(args, port);
      await rootIs(page, "state", "connected");
      await rootIs(page, "transport", "websocket");
    });
  });
}
