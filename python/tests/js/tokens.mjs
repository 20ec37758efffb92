// Uses the page on which answers arrive word by word: lets one arrive, stops one, and asks for too many at once.
// Usage: node tokens.mjs PORT BROWSER PROFILE WIDTH [IMAGE]
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { chromium } = require("playwright-core");

const [port, executablePath, profile, width, image] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launchPersistentContext(profile, {
  executablePath, headless: true, args: FLAGS, viewport: { width: Number(width), height: 760 },
});
const problems = [];
const page = await browser.newPage();
page.setDefaultTimeout(30000);
page.on("pageerror", (error) => problems.push(String(error)));
page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
await page.goto(`http://127.0.0.1:${port}/`);
await page.getByText("connected", { exact: true }).waitFor();
const snap = async (name) => image && page.screenshot({ path: image.replace(".png", `-${name}.png`) });
await snap("empty");
const note = page.locator(".answer small:not(:empty)");
// Words come one after the other: the text is there before it is whole.
await page.getByRole("button", { name: "What is a kokanee?" }).click();
const first = page.locator(".answer p").first();
await page.locator(".answer.running p").filter({ hasText: "sockeye" }).waitFor();
const early = (await first.innerText()).length;
await snap("running");
await note.first().waitFor();
const whole = await first.innerText();
// One is stopped.
await page.getByRole("textbox").fill("something <b>else</b>");
await page.getByRole("button", { name: "Ask" }).click();
await page.locator(".answer.running p").filter({ hasText: "model" }).waitFor();
await page.getByRole("button", { name: "Stop" }).click();
await note.nth(1).waitFor();
// Three at a time, not four.
for (let number = 0; number < 4; number += 1) {
  await page.getByRole("textbox").fill("streaming, please");
  await page.getByRole("button", { name: "Ask" }).click();
}
const refused = await page.locator(".answer.failed p").innerText();
await snap("end");
const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const notes = (await note.allInnerTexts()).slice(0, 2).map((text) => text.replace(/[\d.]+/g, "N"));
const questions = (await page.locator(".question p").allInnerTexts()).slice(0, 2);
console.log(JSON.stringify({
  isEarlier: early > 0 && early < whole.length, end: whole.trim().split(" ").slice(-4).join(" "), notes, questions, refused, wider, problems,
}));
await browser.close();
