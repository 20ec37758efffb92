// The bridge end to end: Python's `socket` module on one side, the demo page in headless Chromium on the other.
//
// CHROMIUM names the browser (default /usr/bin/chromium). Screenshots go to out/.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { freePort, isReference, startServer } from "./server.mjs";
import { LIMIT, within } from "./support.mjs";

const TIMEOUT = { timeout: 120_000 };
const OUT = fileURLToPath(new URL("../out/", import.meta.url));
const OFFICIAL_CLIENT = fileURLToPath(new URL("../node_modules/socket.io-client/dist", import.meta.url));
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

// The client of Python's documentation, held open: it sends each line of its input, and prints what comes.
const PYTHON = `
import socket, sys, threading
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect(("127.0.0.1", int(sys.argv[1])))
def receive():
    while data := s.recv(1024):
        print("received", repr(data), flush=True)
    print("end", flush=True)
threading.Thread(target=receive).start()
for line in sys.stdin:
    s.sendall(line.encode())
s.shutdown(socket.SHUT_WR)
`;

/** A Python program with a connected socket. */
function python(t, port) {
  const child = spawn("python3", ["-c", PYTHON, String(port)], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    say: (text) => child.stdin.write(text),
    end: () => child.stdin.end(),
    line: async () => (await within(lines.next(), "a line of Python")).value,
  };
}

for (const { name, args } of [
  { name: "official", args: ["--serve-client", OFFICIAL_CLIENT] },
  { name: "small", args: ["--no-serve-client"] },
]) {
  describe(`the bridge with the ${name} client`, { skip: isReference && "only here" }, () => {
    const profile = mkdtempSync(join(tmpdir(), "kokanee-bridge-"));
    let server;
    let raw;
    let browser;

    before(async () => {
      mkdirSync(OUT, { recursive: true });
      raw = await freePort();
      server = await startServer(["--tcp", String(raw), "--framing", "lines", ...args]);
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

    test("a Python socket and the page talk to each other", TIMEOUT, async (t) => {
      const problems = [];
      const page = await browser.newPage();
      page.setDefaultTimeout(LIMIT);
      page.on("pageerror", (error) => problems.push(String(error)));
      t.after(() => page.close());
      await page.goto(server.url);
      await page.locator("#raw-title").waitFor();

      const peer = python(t, raw);
      await page.locator("#raw-peers button", { hasText: "tcp 127.0.0.1:" }).waitFor();
      peer.say("hello world\n");
      await page.locator("#raw-feed li", { hasText: "hello world" }).waitFor();
      peer.say("<b>grüße</b> 🐟\n");
      await page.locator("#raw-feed li", { hasText: "<b>grüße</b> 🐟" }).waitFor();
      assert.equal(await page.locator("#raw-feed b").count(), 0);

      await page.fill("#raw-text", "hello Python");
      await page.click("#raw-form button.primary");
      assert.equal(await peer.line(), "received b'hello Python\\n'");
      await page.locator("#raw-feed li.mine", { hasText: "hello Python" }).waitFor();

      for (const theme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: theme });
        for (const [device, width] of [["desktop", 1280], ["tablet", 800], ["phone", 390]]) {
          await page.setViewportSize({ width, height: 900 });
          await page.screenshot({ path: join(OUT, `bridge-${name}-${theme}-${device}.png`), fullPage: true });
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflow <= 0, `${device}: ${overflow} px too wide`);
        }
      }

      await page.click("#raw-close");
      assert.equal(await peer.line(), "end");
      await page.locator("#raw-feed li.note", { hasText: "has gone: closed by a client" }).waitFor();
      await page.waitForFunction(() => document.querySelectorAll("#raw-peers button").length === 0);
      assert.deepEqual(problems, []);
    });

    test("peers that were there before the page, and that go by themselves, are shown", TIMEOUT, async (t) => {
      const peer = python(t, raw);
      const page = await browser.newPage();
      page.setDefaultTimeout(LIMIT);
      t.after(() => page.close());
      await page.goto(server.url);
      await page.locator("#raw-peers button", { hasText: "tcp 127.0.0.1:" }).waitFor();
      peer.end();
      await page.locator("#raw-feed li.note", { hasText: "has gone: ended by the peer" }).waitFor();
    });
  });
}
