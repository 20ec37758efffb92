// Opens the page of an example in two windows of a browser, sends a text in one, and says what both show.
// Usage: node page.mjs PORT PATH BROWSER PROFILE WIDTH [IMAGE]
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { chromium } = require("playwright-core");

const [port, path, executablePath, profile, width, image] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launchPersistentContext(profile, {
  executablePath, headless: true, args: FLAGS, viewport: { width: Number(width), height: 700 },
});
const problems = [];
const open = async () => {
  const page = await browser.newPage();
  page.setDefaultTimeout(15000);
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(`http://127.0.0.1:${port}${path}`);
  await page.getByText("connected over websocket").waitFor();
  return page;
};
const [first, second] = [await open(), await open()];
const text = "hällo <b>🐟</b>";
await first.getByRole("textbox").fill(text);
await first.getByRole("button").click();
const shown = await Promise.all([first, second].map(async (page) => {
  await page.locator("li").first().waitFor();
  return page.locator("li").allInnerTexts();
}));
const wider = await first.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
if (image) {
  await second.getByRole("textbox").fill("a longer message, ".repeat(12) + "https://example.com/" + "x".repeat(80));
  await second.getByRole("button").click();
  await first.locator("li").nth(1).waitFor();
  await first.screenshot({ path: image });
}
console.log(JSON.stringify({ shown, wider, problems }));
await browser.close();
