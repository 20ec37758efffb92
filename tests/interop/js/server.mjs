// Starts and stops the server under test.
//
// It is `kokanee serve`: the binary that KOKANEE names, else the newer of target/debug and target/release. With
// REFERENCE=node it is reference-server.mjs, the same demo on the original Node server.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";

/** Whether the suite runs against the original Node server. */
export const isReference = process.env.REFERENCE === "node";

const START_LIMIT = 10_000;
const STOP_LIMIT = 5_000;
const local = (path) => fileURLToPath(new URL(path, import.meta.url));

const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

/** The program and its first arguments. */
function command() {
  if (isReference) return [process.execPath, local("reference-server.mjs")];
  if (process.env.KOKANEE) return [process.env.KOKANEE];
  const built = ["debug", "release"].map((profile) => local(`../../../target/${profile}/kokanee`)).filter((path) => existsSync(path));
  if (built.length === 0) throw new Error("no server to test: build kokanee-cli, or set KOKANEE to the binary, or REFERENCE=node");
  return [built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0]];
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.destroy(resolve(true)));
    socket.once("error", () => resolve(false));
  });
}

/**
 * Starts the server and waits until its port answers.
 *
 * `args` are options of `kokanee serve`. The result's `stop()` ends the process and waits for its end; `signal(name)`
 * sends it a signal.
 */
export async function startServer(args = [], port = undefined) {
  port ??= await freePort();
  const server = launch(["--port", String(port), "--quiet", ...args]);
  const deadline = Date.now() + START_LIMIT;
  while (!(await answers(port))) {
    if (server.hasExited() || Date.now() > deadline) {
      await server.stop();
      throw new Error(`the server does not answer on port ${port}: ${server.output()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { ...server, port, url: `http://127.0.0.1:${port}` };
}

/** Starts the server without waiting for it. */
export function launch(args) {
  const [program, ...first] = command();
  const child = spawn(program, [...first, "serve", ...args], { stdio: ["ignore", "pipe", "pipe"], cwd: tmpdir() });
  let output = "";
  const note = (chunk) => (output = (output + chunk).slice(-20_000));
  child.stdout.on("data", note);
  child.stderr.on("data", note);
  child.on("error", note);
  children.add(child);
  const ended = new Promise((resolve) => child.once("close", resolve));
  ended.then(() => children.delete(child));

  return {
    output: () => output,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    signal: (name) => child.kill(name),
    stop: async () => {
      if (child.pid === undefined) return;
      child.kill("SIGCONT");
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT);
      await ended;
      clearTimeout(force);
    },
  };
}
