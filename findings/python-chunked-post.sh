#!/usr/bin/env bash
# What: an event in a long-polling POST with `Transfer-Encoding: chunked` instead of a Content-Length, which HTTP/1.1 defines for bodies
#   of unknown length. Node's HTTP client sends both POSTs.
# Versions: python-socketio 5.18.1 with python-engineio 4.15.1 on uvicorn 0.54.0, hypercorn 0.18.0, aiohttp 3.14.5, gevent 26.9.0 and
#   waitress 3.0.2 (PyPI), Python 3.11; Node.js 20.
# Guess: the host decodes the framing, so the event arrives on every host, or the POST is refused.
# Seen: python-engineio reads as many bytes of the body as Content-Length says, none if there is no such header, and accepts an empty
#   payload as one without packets: the response is 200 "OK", the session continues, and the event is lost. Only waitress sets a length
#   for the body that it has assembled, so the event arrives there.
# Output: one line for each host, as in `expected` below. Exits non-zero if a line differs.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check python-socketio==5.18.1 python-engineio==4.15.1 uvicorn==0.54.0 \
  hypercorn==0.18.0 aiohttp==3.14.5 gevent==26.9.0 waitress==3.0.2
cat >server.py <<'PY'
import sys

host = sys.argv[1]
if host == "gevent":
    from gevent import monkey
    monkey.patch_all()

import asyncio
import socket
import socketio

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
port = listener.getsockname()[1]
if host in ("gevent", "waitress"):
    sio = socketio.Server(async_mode="gevent" if host == "gevent" else "threading")
else:
    sio = socketio.AsyncServer(async_mode="aiohttp" if host == "aiohttp" else "asgi")

def handled(sid, how):
    print(how, flush=True)

sio.on("event", handled)
print(port, flush=True)
if host == "uvicorn":
    import uvicorn
    asyncio.run(uvicorn.Server(uvicorn.Config(socketio.ASGIApp(sio), log_level="warning")).serve(sockets=[listener]))
elif host == "hypercorn":
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.loglevel = "WARNING"
    asyncio.run(serve(socketio.ASGIApp(sio), config))
elif host == "aiohttp":
    from aiohttp import web
    app = web.Application()
    sio.attach(app)
    web.run_app(app, sock=listener, print=None)
elif host == "gevent":
    from gevent import pywsgi
    pywsgi.WSGIServer(listener, socketio.WSGIApp(sio), log=None).serve_forever()
else:
    import waitress
    waitress.serve(socketio.WSGIApp(sio), sockets=[listener], threads=8)
PY
cat >run.cjs <<'JS'
const http = require("node:http");
const { readFileSync } = require("node:fs");

const hosts = ["uvicorn", "hypercorn", "aiohttp", "gevent", "waitress"];
const expected = [
  "uvicorn: chunked 200 OK, with a length 200 OK; arrived: with a length",
  "hypercorn: chunked 200 OK, with a length 200 OK; arrived: with a length",
  "aiohttp: chunked 200 OK, with a length 200 OK; arrived: with a length",
  "gevent: chunked 200 OK, with a length 200 OK; arrived: with a length",
  "waitress: chunked 200 OK, with a length 200 OK; arrived: chunked, with a length",
];

function request(port, query, body, chunked) {
  const headers = body && { "Content-Type": "text/plain;charset=UTF-8", ...(!chunked && { "Content-Length": body.length }) };
  return new Promise((done, failed) => {
    const sent = http.request({ host: "127.0.0.1", port, path: `/socket.io/?EIO=4&transport=polling${query}`, method: body ? "POST" : "GET", headers }, async (answer) => {
      let text = "";
      for await (const part of answer) text += part;
      done({ status: answer.statusCode, text });
    });
    sent.on("error", failed);
    if (body) sent.write(body);
    sent.end();
  });
}

const lines = (host) => readFileSync(`${host}.out`, "utf8").trim().split("\n").filter(Boolean);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function attempt(host) {
  let opened;
  for (let tries = 0; !opened && tries < 100; tries += 1) {
    await wait(200);
    opened = await request(lines(host)[0], "").catch(() => undefined);
  }
  const port = lines(host)[0];
  const session = `&sid=${JSON.parse(opened.text.slice(1)).sid}`;
  await request(port, session, "40");
  await request(port, session);
  const answers = [];
  for (const [how, chunked] of [["chunked", true], ["with a length", false]]) {
    const { status, text } = await request(port, session, `42["event","${how}"]`, chunked);
    answers.push(`${how} ${status} ${text}`);
    await wait(500);
  }
  return `${host}: ${answers.join(", ")}; arrived: ${lines(host).slice(1).join(", ")}`;
}

(async () => {
  const seen = await Promise.all(hosts.map(attempt));
  console.log(seen.join("\n"));
  process.exit(seen.join() === expected.join() ? 0 : 1);
})();
JS
for host in uvicorn hypercorn aiohttp gevent waitress; do
  venv/bin/python server.py "$host" >"$host.out" &
done
timeout 50 node run.cjs
