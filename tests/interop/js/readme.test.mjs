// The README's server and its page, followed word by word in an empty folder, in headless Chromium.
//
// What the README says is taken from it: the dependencies, main.rs, index.html. Only the path of the crate, the port, and
// where npm has put the browser client differ. CHROMIUM names the browser (default /usr/bin/chromium).

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { freePort, isReference } from "./server.mjs";
import { LIMIT, within } from "./support.mjs";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const OUT = fileURLToPath(new URL("../out/", import.meta.url));
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** The code of a kind in the section on the server. */
function block(kind) {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, section] = readme.split("## A server and its page\n");
  const [, code] = section.split("\n## ")[0].split(`\`\`\`${kind}\n`);
  return code.split("```")[0];
}

/** Replaces a text that must be there. */
function replaced(text, old, by) {
  assert.ok(text.includes(old), `${old} is not in the README any more`);
  return text.replaceAll(old, by);
}

describe("the README's server and its page", { skip: isReference && "the reference has another README" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "kokanee-readme-"));
  const problems = [];
  let browser, server, url;

  before(
    async () => {
      mkdirSync(OUT, { recursive: true });
      const port = await freePort();
      url = `http://127.0.0.1:${port}`;
      mkdirSync(join(folder, "src"));
      const dependencies = replaced(block("toml"), "../kokanee/crates/kokanee", join(ROOT, "crates/kokanee"));
      const profile = "[profile.dev]\ndebug = \"line-tables-only\"\n";
      writeFileSync(join(folder, "Cargo.toml"), `[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2024"\n\n${dependencies}\n[workspace]\n\n${profile}`);
      writeFileSync(join(folder, "src/main.rs"), replaced(block("rust,no_run"), "127.0.0.1:5000", `127.0.0.1:${port}`));
      // The versions that were tested, and what is compiled already.
      copyFileSync(join(ROOT, "Cargo.lock"), join(folder, "Cargo.lock"));
      symlinkSync(join(ROOT, "tests/interop/node_modules"), join(folder, "node_modules"));
      const built = ["build", "--quiet", "--target-dir", join(ROOT, "target")];
      execFileSync("cargo", built, { cwd: folder, stdio: "inherit" });

      const program = join(ROOT, "target/debug/hello");
      // Without its page it says what is missing.
      assert.throws(() => execFileSync(program, { cwd: folder, stdio: "pipe" }), /index\.html/);
      writeFileSync(join(folder, "index.html"), block("html"));
      server = spawn(program, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
      const said = within(new Promise((resolve) => server.stdout.once("data", (text) => resolve(String(text)))), "the server's first line");
      assert.equal((await said).trim(), `open ${url}`);
      browser = await chromium.launchPersistentContext(join(folder, "profile"), {
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args: FLAGS,
        viewport: { width: 640, height: 400 },
      });
    },
    { timeout: 600_000 },
  );
  after(async () => {
    await browser?.close();
    server?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  async function open() {
    const page = await browser.newPage();
    page.setDefaultTimeout(LIMIT);
    page.on("pageerror", (error) => problems.push(String(error)));
    // The server may print its line before it listens.
    for (let tries = 0; ; tries++) {
      try {
        await page.goto(url);
        break;
      } catch (error) {
        if (tries === 50 || !String(error).includes("ERR_CONNECTION_REFUSED")) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    await page.locator("li", { hasText: /^connected$/ }).waitFor();
    await page.locator("li", { hasText: /^20 \+ 22 = 42$/ }).waitFor();
    return page;
  }

  test("what one window sends, the other one shows", { timeout: 60_000 }, async () => {
    const [one, two] = [await open(), await open()];
    await one.fill("input", "hello <b>there</b>");
    await one.click("button");
    await two.locator("li", { hasText: /^hello <b>there<\/b>$/ }).waitFor();
    await two.fill("input", "and back");
    await two.press("input", "Enter");
    await one.locator("li", { hasText: /^and back$/ }).waitFor();
    await one.screenshot({ path: join(OUT, "readme.png") });
    assert.deepEqual(problems, []);
  });
});
