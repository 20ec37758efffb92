// JSONP with revision 4: published clients with `forceJSONP` in headless Chromium. They poll with <script> and post with a
// form, so they need a browser. The option went away after 4.2.
//
// CHROMIUM names the browser (default /usr/bin/chromium).

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { startServer } from "./server.mjs";
import { LIMIT } from "./support.mjs";

const TIMEOUT = { timeout: 60_000 };
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const TEXT = 'plus + and & = % €😀 "quoted" \\ \\n not a line end\na line end\u2028\u2029</script>';

describe("JSONP with revision 4", () => {
  const profile = mkdtempSync(join(tmpdir(), "kokanee-jsonp-"));
  let server;
  let browser;

  before(async () => {
    server = await startServer();
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      headless: true,
      args: FLAGS,
    });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    rmSync(profile, { recursive: true, force: true });
  });

  for (const name of ["socket.io-client-3.1", "socket.io-client-4.0", "socket.io-client-4.2"]) {
    for (const upgrades of [false, true]) {
      test(`${name}${upgrades ? ", and upgrades" : ""}`, TIMEOUT, async (t) => {
        const page = await browser.newPage();
        page.setDefaultTimeout(LIMIT);
        t.after(() => page.close());
        const problems = [];
        page.on("pageerror", (error) => problems.push(String(error)));
        const requests = [];
        page.on("request", (request) => requests.push(request));
        await page.addScriptTag({ path: fileURLToPath(new URL(`../node_modules/${name}/dist/socket.io.js`, import.meta.url)) });

        const seen = await page.evaluate(
          async ([url, upgrades, text, limit]) => {
            const within = (promise, what) =>
              Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`nothing within ${limit} ms: ${what}`)), limit))]);
            const socket = window.io(url, { forceJSONP: true, transports: upgrades ? ["polling", "websocket"] : ["polling"] });
            const call = (...args) => within(new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer))), args[0]);
            await within(new Promise((resolve) => socket.once("connect", resolve)), "connect");
            const transport = socket.io.engine.transport.constructor.name;
            const echo = await call("echo", text, [1, { a: null }]);
            const [bytes] = await call("echo", new Uint8Array([0, 255, 43, 10]));
            const all = await Promise.all(Array.from({ length: 50 }, (_, n) => call("echo", n)));
            if (upgrades && socket.io.engine.transport.name !== "websocket") {
              await within(new Promise((resolve) => socket.io.engine.once("upgrade", resolve)), "upgrade");
            }
            const last = await call("echo", text);
            const left = within(new Promise((resolve) => socket.once("disconnect", resolve)), "disconnect");
            socket.disconnect();
            return { transport, echo, bytes: [...new Uint8Array(bytes)], all: all.flat(), last, left: await left };
          },
          [server.url, upgrades, TEXT, LIMIT],
        );
        assert.deepEqual(seen.echo, [TEXT, [1, { a: null }]]);
        assert.deepEqual(seen.bytes, [0, 255, 43, 10]);
        assert.deepEqual(seen.all, Array.from({ length: 50 }, (_, n) => n));
        assert.deepEqual(seen.last, [TEXT]);
        assert.equal(seen.left, "io client disconnect");
        assert.deepEqual(problems, []);
        const polls = requests.filter((request) => request.url().includes("transport=polling"));
        assert.ok(polls.length > (upgrades ? 0 : 3));
        assert.ok(polls.every((request) => /[?&]EIO=4(&|$)/.test(request.url()) && /[?&]j=0(&|$)/.test(request.url())));
        if (!upgrades) assert.ok(polls.some((request) => request.method() === "POST"));
        assert.ok(polls.some((request) => request.resourceType() === "script"));
      });
    }
  }
});
