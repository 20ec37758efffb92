// Opens the dashboard of the example as a visitor on a phone and as somebody who works there on a desktop. Orders come from its form and
// from another process. Usage: node dashboard.mjs PORT BROWSER IMAGES COMMAND...
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { chromium } = require("playwright-core");

const [port, executablePath, images, ...command] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const options = { executablePath, headless: true, args: FLAGS };
const browser = await chromium.launch(options);
const problems = [];
const open = async (width) => {
  const context = await browser.newContext({ viewport: { width, height: 850 } });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.getByText("live", { exact: true }).waitFor();
  return page;
};
const [visitor, baker] = [await open(390), await open(1280)];
await baker.getByRole("link", { name: "Sign in" }).click();
await baker.getByLabel("Name").fill("baker");
await baker.getByLabel("Password").fill("baker");
await baker.getByRole("button", { name: "Sign in" }).click();
await baker.getByText("live", { exact: true }).waitFor();

const seen = { before: Number(await visitor.locator("#new").innerText()) };
await visitor.getByLabel("For").fill("Zoë <b>");
await visitor.getByLabel("Item").selectOption("Lemon tart");
await visitor.getByLabel("Pieces").fill("3");
await visitor.getByRole("button", { name: "Place order" }).click();
for (const page of [visitor, baker]) await page.locator('[data-state="new"] .card', { hasText: "Zoë <b>" }).waitFor();
seen.price = await baker.locator(".card", { hasText: "Zoë <b>" }).locator(".price").innerText();
seen.after = Number(await baker.locator("#new").innerText());

await baker.locator(".card", { hasText: "Zoë <b>" }).getByRole("button", { name: "Into the oven" }).click();
for (const page of [visitor, baker]) await page.locator('[data-state="baking"] .card', { hasText: "Zoë <b>" }).waitFor();
seen.buttons = await visitor.locator(".card button").count();

execFileSync(command[0], command.slice(1));
for (const page of [visitor, baker]) await page.locator('[data-state="new"] .card', { hasText: "from another process" }).waitFor();
seen.overflows = await Promise.all([visitor, baker].map((page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth)));
if (images) {
  for (const [page, name] of [[visitor, "phone"], [baker, "desktop"]]) {
    await page.locator(".news").first().evaluate((card) => Promise.all(card.getAnimations().map((each) => each.finished)));
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${images}/dashboard-${name}.png`, fullPage: true });
  }
}
console.log(JSON.stringify({ ...seen, problems }));
await browser.close();
