// Two people log in to the chat, talk in one room, and one goes to another; says what both see.
// Usage: node flask_chat.mjs PORT BROWSER PROFILE WIDTH [IMAGES]
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { chromium } = require("playwright-core");

const [port, executablePath, profile, width, images] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS });
const problems = [];
const wide = [];
const measure = async (page) => wide.push(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth));
const come = async (name) => {
  // A cookie jar of its own.
  const context = await browser.newContext({ viewport: { width: Number(width), height: Number(width) < 600 ? 780 : 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.getByLabel("Your name").fill(name);
  if (images) await page.screenshot({ path: `${images}/login-${width}.png` });
  await measure(page);
  await page.getByRole("button", { name: "Come in" }).click();
  await page.getByText("connected over websocket").waitFor();
  await page.locator("#people li", { hasText: name }).waitFor();
  return page;
};
const say = async (page, text) => {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
};
const texts = (page) => page.locator("#messages .text").allInnerTexts();
const people = (page) => page.locator("#people li").allInnerTexts();

const ada = await come("Ada");
const grace = await come("Grace <b>");
await ada.locator("#people li").nth(1).waitFor();
const together = await people(ada);
await say(ada, "hällo 🐟");
await grace.locator("#messages .text").first().waitFor();
await say(grace, "who brings the tea?");
await ada.locator("#messages .text").nth(1).waitFor();
if (images) {
  await say(ada, "Sencha, and the long kettle from upstairs: it takes ten minutes, so start without me if you are thirsty.");
  await say(ada, "https://example.com/" + "x".repeat(60));
  await grace.getByLabel("Message").pressSequentially("On my way", { delay: 200 });
  await ada.getByText("is typing").waitFor();
  await ada.screenshot({ path: `${images}/chat-${width}.png` });
  await grace.getByLabel("Message").fill("");
}
const before = await texts(grace);
await measure(ada);
await grace.locator('[data-room="tea"]').click();
await grace.getByText("Nothing was said here yet").or(grace.locator('#messages:empty')).first().waitFor({ state: "attached" });
await ada.locator("#people li").nth(1).waitFor({ state: "detached" });
await say(grace, "anybody?");
await grace.locator("#messages .text").first().waitFor();
const apart = { ada: await people(ada), grace: await people(grace), said: await texts(grace) };
await grace.locator('[data-room="lobby"]').click();
await grace.locator("#messages .text").nth(1).waitFor();
const again = (await texts(grace)).slice(0, 2);
await grace.close();
await ada.locator("#people li").nth(1).waitFor({ state: "detached" });
console.log(JSON.stringify({ together, before: before.slice(0, 2), apart, again, left: await people(ada), wide, problems }));
await browser.close();
