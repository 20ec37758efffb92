// Fetches an AsyncAPI document, and says what is wrong with it: by the official schema, and references that lead nowhere.
// Usage: node asyncapi.mjs PORT PATH
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const Ajv = require("ajv");
const schema = require("@asyncapi/specs/schemas/3.0.0-without-$id.json");

const [port, path] = process.argv.slice(2);
const document = await (await fetch(`http://127.0.0.1:${port}${path}`)).json();
const ajv = new Ajv({ strict: false, allErrors: true, logger: false }).addFormat("uri", (text) => URL.canParse(text));
const validate = ajv.compile(schema);
const problems = validate(document) ? [] : validate.errors.map((error) => `${error.instancePath} ${error.message}`);
let references = 0;
const follow = (value) => {
  if (value === null || typeof value !== "object") return;
  for (const [key, each] of Object.entries(value)) {
    if (key === "$ref" && typeof each === "string") {
      references += 1;
      const parts = each.slice(2).split("/").map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
      const found = parts.reduce((at, part) => at?.[part], document);
      if (!each.startsWith("#/") || found === undefined) problems.push(`${each} leads nowhere`);
    } else follow(each);
  }
};
follow(document);
console.log(JSON.stringify({ problems, references, document }));
