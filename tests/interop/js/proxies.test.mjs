// nginx and HAProxy, as Debian has them, in front of the server: sessions work, and the client's address arrives.
//
// The client's address is 127.0.0.2, so that it is not the proxy's.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { WebSocket } from "ws";
import { freePort, isReference, launch, startServer } from "./server.mjs";
import { LIMIT, call, connected, sleep, upgraded, within } from "./support.mjs";

const TIMEOUT = { timeout: 60_000 };
const CLIENT = "127.0.0.2";
const OPEN = "/socket.io/?EIO=4&transport=polling";

/** Runs a proxy until the test program ends or `stop` is called. */
async function startProxy(program, args, ports) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output = (output + chunk).slice(-20_000)));
  child.on("error", (error) => (output += error));
  process.on("exit", () => child.kill("SIGKILL"));
  const ended = once(child, "close").catch(() => {});
  const deadline = Date.now() + LIMIT;
  for (const port of ports) {
    while (!(await isOpen(port))) {
      if (child.exitCode !== null || child.pid === undefined || Date.now() > deadline) throw new Error(`${program} does not run: ${output}`);
      await sleep(20);
    }
  }
  return async () => {
    child.kill("SIGKILL");
    await ended;
  };
}

function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.destroy(resolve(true)));
    socket.once("error", () => resolve(false));
  });
}

/** One request from the client's address. */
function fetchFrom(port, path, { method = "GET", headers = {}, body } = {}) {
  const answer = new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers, localAddress: CLIENT, agent: false }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
  return within(answer, `${method} ${path}`);
}

const session = (answer) => `${OPEN}&sid=${JSON.parse(answer.text.slice(1)).sid}`;

/** Joins `/` by polling. Returns the socket's id. */
async function joinByPolling(port) {
  const path = session(await fetchFrom(port, OPEN));
  assert.equal((await fetchFrom(port, path, { method: "POST", body: "40" })).text, "ok");
  const joined = (await fetchFrom(port, path)).text.split("\x1e")[0];
  assert.equal((await fetchFrom(port, path, { method: "POST", body: "1" })).text, "ok");
  return JSON.parse(joined.slice(2)).sid;
}

/** Joins `/` by WebSocket. Returns the socket's id. */
async function joinByWebSocket(port) {
  const websocket = new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`, { localAddress: CLIENT });
  const joined = new Promise((resolve, reject) => {
    websocket.on("error", reject);
    websocket.on("message", (data) => {
      if (String(data).startsWith("0")) websocket.send("40");
      if (String(data).startsWith("40")) resolve(JSON.parse(String(data).slice(2)).sid);
    });
  });
  const socket = await within(joined, "the join");
  websocket.close();
  return socket;
}

describe("proxies", { skip: isReference && "the original trusts no proxies" }, () => {
  const directory = mkdtempSync(join(tmpdir(), "kokanee-proxies-"));
  const ports = {};
  const stops = [];
  const servers = {};

  before(async () => {
    for (const name of ["nginx", "bare", "haproxy", "tcp"]) ports[name] = await freePort();
    // One that believes its proxies, one that knows of none, one that speaks the PROXY protocol.
    servers.plain = await startServer(["--cookie"]);
    for (const [name, args] of [["trusting", []], ["proxied", ["--proxy-protocol"]]]) {
      const port = await freePort();
      const server = launch(["--port", String(port), "--json", "--cookie", "--trust-proxy", "127.0.0.1", ...args]);
      const deadline = Date.now() + LIMIT;
      while (!server.output().includes("listening")) {
        if (server.hasExited() || Date.now() > deadline) throw new Error(server.output());
        await sleep(20);
      }
      servers[name] = { ...server, port };
    }

    for (const part of ["body", "proxy", "fastcgi", "uwsgi", "scgi"]) mkdirSync(join(directory, part));
    const nginx = join(directory, "nginx.conf");
    writeFileSync(nginx, `
      daemon off; master_process off; pid ${directory}/nginx.pid; error_log stderr;
      events { worker_connections 2048; }
      http {
        access_log off;
        client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy; fastcgi_temp_path ${directory}/fastcgi;
        uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
        client_max_body_size 10m;
        map $http_upgrade $connection_upgrade { default upgrade; '' close; }
        proxy_http_version 1.1;
        server {
          listen 127.0.0.1:${ports.nginx};
          location / {
            proxy_pass http://127.0.0.1:${servers.trusting.port};
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host $http_host;
          }
        }
        server {
          listen 127.0.0.1:${ports.bare};
          location / {
            proxy_pass http://127.0.0.1:${servers.plain.port};
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
          }
        }
      }`);
    stops.push(await startProxy("nginx", ["-p", directory, "-c", nginx], [ports.nginx, ports.bare]));

    const haproxy = join(directory, "haproxy.cfg");
    writeFileSync(haproxy, `
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend http
  mode http
  option forwardfor
  bind 127.0.0.1:${ports.haproxy}
  default_backend http
backend http
  mode http
  server one 127.0.0.1:${servers.trusting.port}
frontend tcp
  mode tcp
  bind 127.0.0.1:${ports.tcp}
  default_backend tcp
backend tcp
  mode tcp
  server one 127.0.0.1:${servers.proxied.port} send-proxy-v2
`);
    stops.push(await startProxy("haproxy", ["-db", "-f", haproxy], [ports.haproxy, ports.tcp]));
  });
  after(async () => {
    for (const stop of stops) await stop();
    for (const server of Object.values(servers)) await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The address of a socket, by the server's log. */
  async function addressOf(socket, server) {
    const deadline = Date.now() + LIMIT;
    for (;;) {
      const lines = server.output().split("\n").filter((line) => line.includes('"event":"connect"') && line.includes(`"${socket}"`));
      if (lines.length > 0) return JSON.parse(lines[0]).address.replace(/:\d+$/, "");
      if (Date.now() > deadline) throw new Error(`the log does not name ${socket}`);
      await sleep(20);
    }
  }

  for (const [name, label, server] of [
    ["nginx", "nginx with X-Forwarded-For", "trusting"],
    ["bare", "nginx that forwards no host", undefined],
    ["haproxy", "HAProxy with X-Forwarded-For", "trusting"],
    ["tcp", "HAProxy with the PROXY protocol", "proxied"],
  ]) {
    describe(label, () => {
      for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
        test(`sessions over ${transports.join(" and ")}`, TIMEOUT, async (t) => {
          const socket = io(`http://127.0.0.1:${ports[name]}`, { transports, forceNew: true, reconnection: false });
          t.after(() => socket.disconnect());
          await connected(socket);
          if (transports.length > 1) await upgraded(socket);
          const text = "x".repeat(100_000);
          assert.deepEqual(await call(socket, "echo", text, Buffer.from([1, 2, 3])), [text, Buffer.from([1, 2, 3])]);
          const numbers = Array.from({ length: 100 }, (_, n) => n);
          const answers = await Promise.all(numbers.map((n) => call(socket, "echo", n)));
          assert.deepEqual(answers.flat(), numbers);
        });
      }

      if (server) {
        test("the address is the client's", TIMEOUT, async () => {
          for (const socket of [await joinByPolling(ports[name]), await joinByWebSocket(ports[name])]) {
            assert.equal(await addressOf(socket, servers[server]), CLIENT);
          }
        });
      }

      test("300 clients that open a session at once are let in", TIMEOUT, async () => {
        const answers = await Promise.all(Array.from({ length: 300 }, () => fetchFrom(ports[name], OPEN)));
        assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
      });

      test("a POST that is too large is answered with 413", TIMEOUT, async () => {
        const path = session(await fetchFrom(ports[name], OPEN));
        const answer = await fetchFrom(ports[name], path, { method: "POST", body: "x".repeat(1_200_000) });
        assert.equal(answer.status, 413);
      });
    });
  }

  test("a page is the server's own if the proxy says for which host it was", TIMEOUT, async () => {
    const headers = { Host: "app.example.com", Origin: "https://app.example.com" };
    assert.equal((await fetchFrom(ports.nginx, OPEN, { headers })).status, 200);
    const opened = await fetchFrom(ports.nginx, OPEN, { headers });
    assert.match(opened.headers["set-cookie"][0], /; Secure/);
    const refused = await fetchFrom(ports.bare, OPEN, { headers });
    assert.equal(refused.status, 403);
    assert.match(refused.text, /https:\/\/app\.example\.com .*127\.0\.0\.1:\d+ .*--cors.*--trust-proxy/);
  });
});
