// The demo page: a Socket.IO client that shows what it does.
//
// It uses the official JavaScript client when the server offers it, and otherwise the small one in client.js; the
// part of the API used here is the same for both. `?client=small` or `?client=official` in the address picks one.
//
// Everything from the server is shown as text (`textContent`), never as HTML.

const OFFICIAL_CLIENT = "/socket.io/socket.io.js";
const PROBE_INTERVAL_MS = 1000;
const CHART_SPAN_MS = 120_000;
const ACK_TIMEOUT_MS = 5000;
const SLOW_ACK_TIMEOUT_MS = 15_000; // for events typed by hand: `sleep` takes up to 10 s
const MAX_LOG_ENTRIES = 300;
const MAX_FEED_ENTRIES = 100;
const MAX_RECEIVED = 50;
const MAX_SHOWN_CHARACTERS = 20_000;

const byId = (id) => document.getElementById(id);

const SOCKET_OPTIONS = { reconnectionDelay: 500, reconnectionDelayMax: 4000 };

/** The one socket of this page in the namespace `/`; set by `start`. */
let socket = null;
/** Joins another namespace; set by `start`. */
let openNamespace = null;

/** The last events that came in, oldest first, for `window.kokanee`. */
const received = [];

window.kokanee = {
  get socket() {
    return socket;
  },
  received,
  state: () => document.documentElement.dataset.state,
};

// ----------------------------------------------------------------------------------------------------- helpers

/** Makes an element with a class and a text. */
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}

/** Makes an SVG element with attributes and a text. */
function shape(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}

function asBytes(value) {
  if (value instanceof ArrayBuffer) {
    return new Uint8Array(value);
  }
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : null;
}

function hex(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function describeBinary(bytes) {
  const start = hex(bytes.subarray(0, 8));
  return `<${bytes.length.toLocaleString("en")} bytes: ${start}${bytes.length > 8 ? " …" : ""}>`;
}

/** Writes a value as JSON on one line, with spaces between its parts. */
function spaced(value) {
  if (Array.isArray(value)) {
    return `[${value.map(spaced).join(", ")}]`;
  }
  if (value === null || typeof value !== "object") {
    return JSON.stringify(value);
  }
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${spaced(member)}`);
  return `{${members.join(", ")}}`;
}

/** Writes a value as JSON for reading, with binary data in short: indented, or on a line that can be broken between its parts. */
function show(value, indent) {
  const replacer = (_key, item) => {
    const bytes = asBytes(item);
    return bytes === null ? item : describeBinary(bytes);
  };
  const json = JSON.stringify(value, replacer, indent) ?? "null";
  const text = indent === undefined ? spaced(JSON.parse(json)) : json;
  const rest = text.length - MAX_SHOWN_CHARACTERS;
  return rest > 0 ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}… and ${rest.toLocaleString("en")} characters more` : text;
}

const showList = (values) => values.map((value) => show(value)).join(", ");

/** What an answer says has failed: it is `{error}` and nothing else. Undefined if it has not. */
function errorOf(answer) {
  const [first] = answer;
  const isError = answer.length === 1 && first !== null && typeof first === "object" && String(Object.keys(first)) === "error";
  return isError ? first.error : undefined;
}

function formatMs(ms) {
  if (ms >= 1000) {
    return `${(ms / 1000).toFixed(2)} s`;
  }
  return `${ms >= 100 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

function formatTime(date, withMs) {
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const time = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return withMs ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
}

function formatDuration(seconds) {
  const whole = Math.floor(seconds);
  const [days, hours, minutes] = [86_400, 3600, 60].map((unit) => Math.floor(whole / unit));
  if (days > 0) {
    return `${days} d ${hours % 24} h`;
  }
  if (hours > 0) {
    return `${hours} h ${minutes % 60} min`;
  }
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** A socket id in short, as a name for people. */
function nameOf(id) {
  return id === socket.id ? "you" : String(id).slice(0, 6);
}

function setResult(id, kind, text) {
  const result = byId(id);
  result.classList.remove("good", "bad", "busy");
  if (kind) {
    result.classList.add(kind);
  }
  result.textContent = text;
}

/** Adds an entry to a feed and keeps it scrolled to the end if it was there. */
function addToFeed(feed, entry) {
  const wasAtEnd = feed.scrollHeight - feed.scrollTop - feed.clientHeight < 40;
  feed.append(entry);
  while (feed.children.length > MAX_FEED_ENTRIES) {
    feed.firstElementChild.remove();
  }
  if (wasAtEnd) {
    feed.scrollTop = feed.scrollHeight;
  }
}

function message({ by, text, mine }) {
  const entry = element("li", mine ? "mine" : "");
  entry.append(element("span", "by", by), element("span", "text", text));
  return entry;
}

// ------------------------------------------------------------------------------------------------------- theme

const THEMES = ["auto", "light", "dark"];

function applyTheme(theme) {
  if (theme === "auto") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = theme;
  }
  byId("theme").textContent = `Theme: ${theme}`;
}

function startTheme() {
  let theme = localStorage.getItem("theme");
  theme = THEMES.includes(theme) ? theme : "auto";
  applyTheme(theme);
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    localStorage.setItem("theme", theme);
    applyTheme(theme);
  });
}

// --------------------------------------------------------------------------------------------------- event log

const WAYS = { in: ["▼", "received"], out: ["▲", "sent"], state: ["●", "connection"] };
const log = { entries: [], isPaused: false, missed: 0 };

/** Adds a line to the log; a tick (clock, latency probe) only if the box for these is checked. */
function record(way, name, args, { isTick = false, hasFailed = false } = {}) {
  if (isTick && !byId("log-ticks").checked) {
    return;
  }
  const entry = { way, name: String(name), text: showList(args), at: new Date(), hasFailed };
  log.entries.push(entry);
  if (log.entries.length > MAX_LOG_ENTRIES) {
    log.entries.shift();
  }
  if (log.isPaused) {
    log.missed += 1;
  } else if (isWanted(entry)) {
    const rows = byId("log-rows");
    rows.prepend(logRow(entry));
    if (rows.children.length > MAX_LOG_ENTRIES) {
      rows.lastElementChild.remove();
    }
  }
  showLogCount();
}

function isWanted(entry) {
  const way = byId("log-direction").value;
  const wanted = byId("log-filter").value.trim().toLowerCase();
  return (way === "" || way === entry.way) && `${entry.name} ${entry.text}`.toLowerCase().includes(wanted);
}

function logRow({ way, name, text, at, hasFailed }) {
  const row = element("li", hasFailed ? `${way} failed` : way);
  const [sign, label] = WAYS[way];
  const arrow = element("span", "way", sign);
  arrow.setAttribute("role", "img");
  arrow.setAttribute("aria-label", label);
  const what = element("div", "what");
  what.append(arrow, element("span", "name", name));
  row.append(element("time", "", formatTime(at, true)), what);
  if (text.length > 160) {
    const details = element("details", "args");
    details.append(element("summary", "", `${text.slice(0, 120)}…`), element("pre", "", text));
    row.append(details);
  } else if (text !== "") {
    row.append(element("div", "args", text));
  }
  return row;
}

function showLog() {
  byId("log-rows").replaceChildren(...log.entries.filter(isWanted).reverse().map(logRow));
  showLogCount();
}

function showLogCount() {
  const shown = byId("log-rows").children.length;
  const paused = log.isPaused ? `, paused (${log.missed} new)` : "";
  byId("log-count").textContent = `${shown} of ${log.entries.length} events${paused}`;
}

function startLog() {
  byId("log-filter").addEventListener("input", showLog);
  byId("log-direction").addEventListener("change", showLog);
  byId("log-pause").addEventListener("click", () => {
    log.isPaused = !log.isPaused;
    log.missed = 0;
    byId("log-pause").setAttribute("aria-pressed", log.isPaused);
    byId("log-pause").textContent = log.isPaused ? "Resume" : "Pause";
    showLog();
  });
  byId("log-clear").addEventListener("click", () => {
    log.entries = [];
    log.missed = 0;
    showLog();
  });
  showLogCount();
  // On screens on which the log is below everything else.
  const link = byId("to-log");
  new IntersectionObserver(([{ isIntersecting }]) => {
    link.textContent = isIntersecting ? "Top ↑" : "Event log ↓";
    link.hash = isIntersecting ? "top" : "log-title";
  }).observe(byId("log-rows"));
}

// ------------------------------------------------------------------------------------------- sending, with acks

/** Emits an event and resolves with the answer's arguments and the round trip in ms. Rejects without an answer. */
function call(name, args, { timeout = ACK_TIMEOUT_MS, isTick = false } = {}) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    socket.timeout(timeout).emit(name, ...args, (error, ...answer) => {
      if (error) {
        record("state", `no ack for ${name}: ${error.message}`, [], { isTick });
        reject(error);
        return;
      }
      const ms = performance.now() - started;
      const hasFailed = errorOf(answer) !== undefined;
      record("in", hasFailed ? `${name} failed` : `ack of ${name}`, answer, { isTick, hasFailed });
      resolve({ answer, ms });
    });
    record("out", name, args, { isTick });
  });
}

/** Every event that comes in: kept, logged, and answered with its own arguments if the server asks for an ack. */
function onAnyEvent(name, ...args) {
  const ack = typeof args.at(-1) === "function" ? args.pop() : null;
  received.push({ name, args, at: Date.now() });
  if (received.length > MAX_RECEIVED) {
    received.shift();
  }
  record("in", name, args, { isTick: name === "clock" });
  if (ack !== null) {
    ack(...args);
    record("out", `ack of ${name}`, args);
  }
}

// -------------------------------------------------------------------------------------------- connection state

const STATE_TEXT = { connected: "Connected", connecting: "Connecting…", disconnected: "Disconnected" };
let lostAt = null;
let noticeTimer;

function setState(state, detail = "") {
  document.documentElement.dataset.state = state;
  byId("state").textContent = STATE_TEXT[state];
  byId("state-detail").textContent = detail;
  byId("connect").disabled = state !== "disconnected";
  byId("disconnect").disabled = state === "disconnected";
  byId("socket-id").textContent = socket?.id ?? "–";
  document.title = `${state === "connected" ? "●" : "○"} Kokanee`;
  if (state !== "connected") {
    for (const id of ["clock-time", "clock-clients", "clock-uptime"]) {
      byId(id).textContent = "–";
    }
  }
}

/** Shows the way over the transports, e.g. `[["polling", ""], ["websocket", "active"]]`. */
function setTransport(name, steps, detail = "") {
  document.documentElement.dataset.transport = name;
  byId("transport-steps").replaceChildren(
    ...steps.map(([step, className]) => {
      const item = element("li");
      item.append(element("span", className, step));
      return item;
    }),
  );
  byId("transport-detail").textContent = detail;
}

function setNotice(text, { isGood = false } = {}) {
  clearTimeout(noticeTimer);
  const notice = byId("notice");
  notice.textContent = text;
  notice.classList.toggle("good", isGood);
  notice.hidden = text === "";
  if (isGood) {
    noticeTimer = setTimeout(() => setNotice(""), 6000);
  }
}

/** A session is open: shows its transport and follows the upgrade. */
function onOpen() {
  const openedAt = performance.now();
  const { engine } = socket.io;
  const first = engine.transport.name;
  const via = first === "websocket" ? "direct, without polling first" : "";
  setTransport(first, [[first, "active"]], via);
  record("state", `open over ${first}`, []);
  // Only the official client upgrades; its engine says so. An engine that has been replaced is not listened to.
  const ifCurrent = (listener) => (...args) => socket.io.engine === engine && listener(...args);
  engine.on?.("upgrading", ifCurrent((transport) => {
    setTransport(first, [[first, "active"], [transport.name, "upgrading"]], "upgrading…");
  }));
  engine.on?.("upgrade", ifCurrent((transport) => {
    const took = formatMs(performance.now() - openedAt);
    setTransport(transport.name, [[first, ""], [transport.name, "active"]], `upgraded after ${took}`);
    record("state", `upgraded from ${first} to ${transport.name} after ${took}`, []);
    latency.upgrades.push({ at: Date.now(), name: transport.name });
  }));
  engine.on?.("upgradeError", ifCurrent((error) => {
    setTransport(first, [[first, "active"]], `stays on ${first}: the upgrade failed`);
    record("state", `upgrade failed: ${error.message}`, []);
  }));
}

function onConnect() {
  setState("connected");
  record("state", `connected as ${socket.id}`, []);
  endOutage();
  if (lostAt !== null) {
    setNotice(`Reconnected after ${formatMs(Date.now() - lostAt)}.`, { isGood: true });
  } else {
    setNotice("");
  }
  lostAt = null;
  probe();
  rejoin();
}

function onDisconnect(reason) {
  record("state", `disconnected: ${reason}`, []);
  beginOutage();
  setTransport("none", [], "no transport");
  if (socket.active) {
    lostAt = Date.now();
    setState("connecting", "Reconnecting.");
    setNotice(`The connection is lost (${reason}). Reconnecting automatically.`);
  } else {
    const byServer = reason !== "io client disconnect";
    setState("disconnected", byServer ? "By the server." : "By you.");
    setNotice(byServer ? "The server disconnected this page. Press Connect to reconnect." : "");
  }
}

function onConnectError(error) {
  record("state", `no connection: ${error.message}`, error.data === undefined ? [] : [error.data]);
  setTransport("none", [], "no transport");
  if (socket.active) {
    lostAt ??= Date.now();
    setNotice("The server does not respond. Retrying.");
  } else {
    setState("disconnected");
    setNotice(`The server refused the connection: ${error.message}.`);
  }
}

function startConnection() {
  socket.onAny(onAnyEvent);
  socket.on("connect", onConnect);
  socket.on("disconnect", onDisconnect);
  socket.on("connect_error", onConnectError);
  socket.on("welcome", (welcome) => {
    byId("server-name").textContent = String(welcome?.server ?? "–");
    for (const namespace of welcome?.bridges ?? []) {
      joinBridge(String(namespace));
    }
  });
  socket.on("clock", (clock) => {
    byId("clock-time").textContent = formatTime(new Date(Number(clock?.time)));
    byId("clock-clients").textContent = String(clock?.clients ?? "–");
    byId("clock-uptime").textContent = formatDuration(Number(clock?.uptime));
  });
  socket.io.on("open", onOpen);
  socket.io.on("reconnect_attempt", (attempt) => {
    setState("connecting", `Attempt ${attempt} to come back.`);
    record("state", `reconnecting, attempt ${attempt}`, []);
  });
  byId("connect").addEventListener("click", () => {
    setState("connecting");
    socket.connect();
  });
  byId("disconnect").addEventListener("click", () => {
    lostAt = null;
    setNotice("");
    socket.disconnect();
    // While reconnecting there is no connection, so there is no disconnect event.
    if (window.kokanee.state() !== "disconnected") {
      setTransport("none", [], "no transport");
      setState("disconnected", "By you.");
    }
  });
}

// ----------------------------------------------------------------------------------------------------- latency

const latency = { samples: [], outages: [], upgrades: [], isProbing: false };

/** The connection is gone: from here on the chart is shaded until `endOutage`. */
function beginOutage() {
  latency.outages.push({ from: Date.now(), to: Infinity });
}

function endOutage() {
  const last = latency.outages.at(-1);
  if (last?.to === Infinity) {
    last.to = Date.now();
  }
}

/** Measures one round trip, unless the last one is still under way. */
async function probe() {
  if (!socket.connected || latency.isProbing) {
    return;
  }
  latency.isProbing = true;
  try {
    const { ms } = await call("echo", [{ probe: Date.now() }], { isTick: true });
    latency.samples.push({ at: Date.now(), ms: Math.max(ms, 0.05) });
  } catch {
    latency.samples.push({ at: Date.now(), ms: null });
  }
  latency.isProbing = false;
  showLatency();
}

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

function showLatency() {
  const from = Date.now() - CHART_SPAN_MS;
  latency.samples = latency.samples.filter(({ at }) => at >= from);
  latency.outages = latency.outages.filter(({ to }) => to >= from);
  latency.upgrades = latency.upgrades.filter(({ at }) => at >= from);

  const known = latency.samples.filter(({ ms }) => ms !== null).map(({ ms }) => ms);
  const sorted = known.toSorted((a, b) => a - b);
  const current = socket.connected ? latency.samples.at(-1)?.ms : null;
  const values = { current, median: percentile(sorted, 0.5), p95: percentile(sorted, 0.95) };
  for (const [name, value] of Object.entries(values)) {
    byId(`latency-${name}`).textContent = value === undefined || value === null ? "–" : formatMs(value);
  }
  drawChart(known);
}

/** The lines of the scale: 1, 2 and 5 times powers of ten around the values, tens only if there are many. */
function scaleLines(known) {
  const steps = [-2, -1, 0, 1, 2, 3, 4].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
  const low = steps.findLast((step) => step <= Math.min(...known));
  const high = steps.find((step) => step > Math.max(...known, low));
  const lines = steps.filter((step) => step >= low && step <= high);
  const isPowerOfTen = (step) => Math.abs(Math.log10(step) - Math.round(Math.log10(step))) < 0.01;
  const shown = lines.length > 6 ? lines.filter(isPowerOfTen) : lines;
  return { low, high, shown };
}

function drawChart(known) {
  const chart = byId("latency-chart");
  const { width, height } = chart.getBoundingClientRect();
  const left = 52, right = width - 10, top = 14, bottom = height - 20;
  const now = Date.now();
  const x = (at) => right - ((now - at) / CHART_SPAN_MS) * (right - left);
  const { low, high, shown } = scaleLines(known.length > 0 ? known : [1]);
  const y = (ms) => bottom - (Math.log(ms / low) / Math.log(high / low)) * (bottom - top);
  const parts = [];

  for (const step of shown) {
    parts.push(shape("line", { class: "grid-line", x1: left, x2: right, y1: y(step), y2: y(step) }));
    const label = step >= 1000 ? `${step / 1000} s` : `${Number(step.toPrecision(1))} ms`;
    parts.push(shape("text", { class: "axis-text", x: left - 6, y: y(step) + 4, "text-anchor": "end" }, label));
  }
  for (const [ago, anchor] of [[120, "start"], [60, "middle"], [0, "end"]]) {
    const label = ago === 0 ? "now" : `${ago} s ago`;
    parts.push(shape("text", { class: "axis-text", x: x(now - ago * 1000), y: height - 5, "text-anchor": anchor }, label));
  }
  for (const { from, to } of latency.outages) {
    const start = Math.max(left, x(from));
    parts.push(shape("rect", { class: "outage", x: start, y: top, width: Math.max(2, x(Math.min(to, now)) - start), height: bottom - top }));
  }
  let lastLabel = -Infinity;
  for (const { at, name } of latency.upgrades) {
    const side = x(at) > right - 80 ? { dx: -4, "text-anchor": "end" } : { dx: 4 };
    parts.push(shape("line", { class: "upgrade-line", x1: x(at), x2: x(at), y1: top, y2: bottom }));
    if (x(at) - lastLabel > 80) {
      parts.push(shape("text", { class: "upgrade-text", x: x(at), y: top + 9, ...side }, name));
      lastLabel = x(at);
    }
  }
  for (const run of runsOfSamples()) {
    const points = run.map(({ at, ms }) => `${x(at).toFixed(1)},${y(ms).toFixed(1)}`).join(" ");
    const ends = [x(run.at(-1).at), x(run[0].at)].map((end) => `${end.toFixed(1)},${bottom}`).join(" ");
    parts.push(shape("polygon", { class: "area", points: `${points} ${ends}` }));
    parts.push(shape("polyline", { class: "curve", points }));
  }
  const newest = latency.samples.at(-1);
  if (newest !== undefined && newest.ms !== null && socket.connected) {
    parts.push(shape("circle", { class: "newest", cx: x(newest.at), cy: y(newest.ms), r: 4.5 }));
  }
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.replaceChildren(...parts);
}

/** The samples, cut where an answer is missing or the connection was away. */
function runsOfSamples() {
  const runs = [];
  let previous = null;
  for (const sample of latency.samples) {
    if (sample.ms !== null) {
      const wasAway = latency.outages.some(({ from }) => from > previous?.at && from <= sample.at);
      if (previous !== null && previous.ms !== null && !wasAway) {
        runs.at(-1).push(sample);
      } else {
        runs.push([sample]);
      }
    }
    previous = sample;
  }
  return runs;
}

function startLatency() {
  setInterval(() => {
    showLatency();
    probe();
  }, PROBE_INTERVAL_MS);
  new ResizeObserver(showLatency).observe(byId("latency-chart"));
}

// ------------------------------------------------------------------------------------------------ chat and rooms

const joinedRooms = new Set();

function startChat() {
  const feed = byId("chat-feed");
  socket.on("chat message", (chat) => {
    const at = formatTime(new Date(Number(chat?.at)));
    const mine = chat?.from === socket.id;
    addToFeed(feed, message({ by: `${nameOf(chat?.from)}, ${at}`, text: String(chat?.text), mine }));
  });
  byId("chat-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = byId("chat-text");
    const text = input.value;
    input.value = "";
    const problem = await problemOf(call("chat message", [text]));
    byId("chat-result").textContent = problem === "" ? "" : `Not sent: ${problem}.`;
    if (problem !== "" && input.value === "") {
      input.value = text;
    }
  });
}

/** Waits for a call; the empty string if it was answered, otherwise what went wrong. */
async function problemOf(calling) {
  try {
    const { answer } = await calling;
    const error = errorOf(answer);
    return error === undefined ? "" : show(error);
  } catch (error) {
    return error.message;
  }
}

function showRooms(rooms) {
  joinedRooms.clear();
  for (const room of rooms) {
    if (room !== socket.id) {
      joinedRooms.add(String(room));
    }
  }
  byId("room-chips").replaceChildren(
    ...[...joinedRooms].map((room) => {
      const item = element("li");
      const button = element("button", "", `${room} ✕`);
      button.type = "button";
      button.setAttribute("aria-label", `Leave room ${room}`);
      button.addEventListener("click", () => changeRooms("leave", room));
      item.append(button);
      return item;
    }),
  );
  const target = byId("room-target");
  const chosen = target.value;
  const options = [...joinedRooms].map((room) => new Option(room, room));
  target.replaceChildren(...(options.length > 0 ? options : [new Option("no room", "")]));
  target.value = joinedRooms.has(chosen) ? chosen : ([...joinedRooms].at(-1) ?? "");
  target.disabled = joinedRooms.size === 0;
}

async function changeRooms(action, room) {
  try {
    const { answer } = await call(action, [room]);
    if (!Array.isArray(answer[0])) {
      throw new Error(`unexpected answer ${showList(answer)}`);
    }
    showRooms(answer[0]);
    byId("room-result").textContent = "";
    if (action === "join") {
      byId("room-target").value = room;
    }
  } catch (error) {
    byId("room-result").textContent = `Could not ${action} ${room}: ${error.message}.`;
  }
}

/** After a reconnection the server knows nothing of the rooms any more. */
function rejoin() {
  for (const room of joinedRooms) {
    changeRooms("join", room);
  }
}

function startRooms() {
  const feed = byId("room-feed");
  const note = (text) => addToFeed(feed, element("li", "note", text));
  socket.on("joined", (who) => note(`${nameOf(who?.id)} joined ${who?.room}`));
  socket.on("left", (who) => note(`${nameOf(who?.id)} left ${who?.room}`));
  socket.on("room message", (sent) => {
    addToFeed(feed, message({ by: `${nameOf(sent?.from)} in ${sent?.room}`, text: String(sent?.text), mine: false }));
  });

  byId("room-join-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const room = byId("room-name").value.trim();
    byId("room-name").value = "";
    if (room !== "") {
      changeRooms("join", room);
    }
  });
  byId("room-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = byId("room-text");
    const room = byId("room-target").value;
    const text = input.value;
    if (room === "") {
      byId("room-result").textContent = "Join a room first.";
      return;
    }
    const problem = await problemOf(call("room message", [{ room, text }]));
    byId("room-result").textContent = problem === "" ? "" : `Not sent: ${problem}.`;
    if (problem === "") {
      input.value = "";
      addToFeed(feed, message({ by: `you in ${room}`, text, mine: true }));
    }
  });
  showRooms([]);
}

// --------------------------------------------------------------------------------------------------- raw peers

/** The sockets of the namespaces in which raw peers appear, by their names. */
const bridges = new Map();
/** The raw peers that are there, by namespace and id. */
const rawPeers = new Map();

const rawKey = (namespace, id) => `${namespace} ${id}`;
const rawName = (namespace, peer) => `${namespace.slice(1)} ${peer.direction === "out" ? "to " : ""}${peer.address}`;

function noteRaw(text) {
  addToFeed(byId("raw-feed"), element("li", "note", text));
}

function showRawPeers() {
  const peers = [...rawPeers];
  byId("raw-peers").replaceChildren(
    ...peers.map(([key, { namespace, peer }]) => {
      const item = element("li");
      const button = element("button", "", rawName(namespace, peer));
      button.type = "button";
      button.addEventListener("click", () => {
        byId("raw-target").value = key;
        byId("raw-text").focus();
      });
      item.append(button);
      return item;
    }),
  );
  const target = byId("raw-target");
  const chosen = target.value;
  const options = peers.map(([key, { namespace, peer }]) => new Option(rawName(namespace, peer), key));
  target.replaceChildren(...(options.length > 0 ? options : [new Option("no peer", "")]));
  target.value = rawPeers.has(chosen) ? chosen : (peers.at(-1)?.[0] ?? "");
  for (const id of ["raw-target", "raw-text", "raw-close"]) {
    byId(id).disabled = peers.length === 0;
  }
}

function addRawPeer(namespace, peer) {
  rawPeers.set(rawKey(namespace, peer?.id), { namespace, peer });
}

function forgetRawPeers(namespace) {
  for (const [key, known] of rawPeers) {
    if (known.namespace === namespace) {
      rawPeers.delete(key);
    }
  }
}

function joinBridge(namespace) {
  document.querySelector(".raw").hidden = false;
  if (bridges.has(namespace)) {
    return;
  }
  const token = new URLSearchParams(location.search).get("token");
  const bridge = openNamespace(namespace, token === null ? {} : { token });
  bridges.set(namespace, bridge);
  bridge.onAny((name, ...args) => record("in", `${namespace} ${name}`, args.filter((arg) => typeof arg !== "function")));
  bridge.on("connect_error", (error) => {
    byId("raw-result").textContent = `${namespace}: ${error.message}. Put the token into the address as ?token=….`;
  });
  bridge.on("disconnect", () => {
    forgetRawPeers(namespace);
    showRawPeers();
  });
  bridge.on("peers", (peers) => {
    forgetRawPeers(namespace);
    for (const peer of peers) {
      addRawPeer(namespace, peer);
    }
    byId("raw-result").textContent = "";
    showRawPeers();
  });
  bridge.on("open", (peer) => {
    addRawPeer(namespace, peer);
    noteRaw(`${rawName(namespace, peer)} is here`);
    showRawPeers();
  });
  bridge.on("data", (id, payload) => {
    const known = rawPeers.get(rawKey(namespace, id));
    const bytes = asBytes(payload);
    const text = bytes === null ? String(payload) : textOrHex(bytes);
    addToFeed(byId("raw-feed"), message({ by: known ? rawName(namespace, known.peer) : String(id), text, mine: false }));
  });
  bridge.on("end", (id) => noteRaw(`${rawNameOf(namespace, id)} sends nothing more`));
  bridge.on("close", (id, reason) => {
    noteRaw(`${rawNameOf(namespace, id)} has gone: ${reason}`);
    rawPeers.delete(rawKey(namespace, id));
    showRawPeers();
  });
}

function rawNameOf(namespace, id) {
  const known = rawPeers.get(rawKey(namespace, id));
  return known ? rawName(namespace, known.peer) : `${namespace} ${id}`;
}

/** Bytes as text if they are text, otherwise in hexadecimal. */
function textOrHex(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text)) {
      return text;
    }
  } catch {
    // No text: shown as what it is.
  }
  return bytes.length > 64 ? `${hex(bytes.subarray(0, 64))} … ${bytes.length.toLocaleString("en")} bytes` : hex(bytes);
}

/** Emits an event to the bridge of the selected peer, and shows the error if it fails. */
async function askBridge(name, args) {
  const known = rawPeers.get(byId("raw-target").value);
  if (known === undefined) {
    byId("raw-result").textContent = "No peers are connected.";
    return false;
  }
  const { namespace, peer } = known;
  record("out", `${namespace} ${name}`, [peer.id, ...args]);
  const asked = bridges.get(namespace).timeout(ACK_TIMEOUT_MS).emitWithAck(name, peer.id, ...args);
  const problem = await problemOf(asked.then((answer) => ({ answer: [answer] })));
  byId("raw-result").textContent = problem === "" ? "" : `Failed: ${problem}.`;
  return problem === "" ? known : false;
}

function startRaw() {
  byId("raw-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = byId("raw-text");
    const text = input.value;
    const known = await askBridge("data", [text]);
    if (known) {
      input.value = "";
      addToFeed(byId("raw-feed"), message({ by: `you to ${rawName(known.namespace, known.peer)}`, text, mine: true }));
    }
  });
  byId("raw-close").addEventListener("click", () => askBridge("close", []));
  showRawPeers();
}

// ---------------------------------------------------------------------------------------------- emit any event

const PRESETS = [
  { name: "echo", args: '"hello", {"fish": 1}' },
  { name: "who", args: "" },
  { name: "rooms", args: "" },
  { name: "call me", args: '"greet", "hi"' },
  { name: "call everybody", args: '"greet", "all"' },
  { name: "broadcast", args: '"news", "from another page"' },
  { name: "sleep", args: "1500" },
  { name: "fail", args: "" },
  { name: "disconnect me", args: "true", withoutAck: true },
];

async function emitTyped() {
  const name = byId("emit-name").value;
  let args;
  try {
    args = JSON.parse(`[${byId("emit-args").value}]`);
  } catch (error) {
    setResult("emit-result", "bad", `The arguments are not JSON: ${error.message}`);
    return;
  }
  try {
    if (!byId("emit-ack").checked) {
      socket.emit(name, ...args);
      record("out", name, args);
      setResult("emit-result", "good", "Sent without asking for an ack.");
      return;
    }
    setResult("emit-result", "busy", "Waiting for the ack…");
    const { answer, ms } = await call(name, args, { timeout: SLOW_ACK_TIMEOUT_MS });
    const failure = errorOf(answer);
    if (failure !== undefined) {
      setResult("emit-result", "bad", `Failed after ${formatMs(ms)}\n${show(failure, 2)}`);
      return;
    }
    const lines = answer.map((value) => show(value, 2)).join(",\n");
    setResult("emit-result", "good", `${formatMs(ms)}\n${lines || "an ack without arguments"}`);
  } catch (error) {
    setResult("emit-result", "bad", `No answer: ${error.message}`);
  }
}

function startEmit() {
  for (const { name, args, withoutAck } of PRESETS) {
    const button = element("button", "", name);
    button.type = "button";
    button.addEventListener("click", () => {
      byId("emit-name").value = name;
      byId("emit-args").value = args;
      byId("emit-ack").checked = withoutAck !== true;
    });
    byId("emit-presets").append(button);
  }
  byId("emit-form").addEventListener("submit", (event) => {
    event.preventDefault();
    emitTyped();
  });
}

// ------------------------------------------------------------------------------------------------------- binary

function randomBytes(length) {
  const bytes = new Uint8Array(length);
  const most = 65_536; // of one call
  for (let start = 0; start < length; start += most) {
    crypto.getRandomValues(bytes.subarray(start, start + most));
  }
  return bytes;
}

/** Says where two byte strings differ first; null if they are equal. */
function differenceOf(sent, back) {
  if (back === null) {
    return "what came back is not binary";
  }
  if (back.length !== sent.length) {
    return `${back.length} bytes came back instead of ${sent.length}`;
  }
  const at = sent.findIndex((byte, index) => byte !== back[index]);
  return at < 0 ? null : `byte ${at} differs: ${hex([sent[at]])} sent, ${hex([back[at]])} received`;
}

async function echoBytes(bytes) {
  const size = `${bytes.length.toLocaleString("en")} bytes`;
  setResult("binary-result", "busy", `${size} are on their way…`);
  try {
    const { answer, ms } = await call("binary", [bytes], { timeout: SLOW_ACK_TIMEOUT_MS });
    const back = asBytes(answer[0]?.bytes);
    const difference = differenceOf(bytes, back);
    if (difference === null && answer[0].length === bytes.length) {
      setResult("binary-result", "good", `${size} came back the same, byte for byte, in ${formatMs(ms)}.`);
      for (const [label, these] of [["sent", bytes], ["back", back]]) {
        const rest = these.length > 12 ? " …" : "";
        byId("binary-result").append(element("code", "", `${label} ${hex(these.subarray(0, 12))}${rest}`));
      }
    } else {
      setResult("binary-result", "bad", `Wrong: ${difference ?? `the server counted ${show(answer[0].length)} bytes`}.`);
    }
  } catch (error) {
    setResult("binary-result", "bad", `${size}: no answer, ${error.message}.`);
  }
}

function startBinary() {
  byId("binary-form").addEventListener("submit", (event) => {
    event.preventDefault();
    echoBytes(randomBytes(Number(byId("binary-size").value)));
  });
  byId("binary-file").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (file !== undefined) {
      echoBytes(new Uint8Array(await file.arrayBuffer()));
    }
  });
}

// -------------------------------------------------------------------------------------------------------- start

/** Loads the official client if the server has it; null if not. The ETag of the file is its version. */
async function loadOfficialClient() {
  const response = await fetch(OFFICIAL_CLIENT).catch(() => null);
  if (response?.status !== 200 || !/javascript/i.test(response.headers.get("content-type") ?? "")) {
    return null;
  }
  const version = /^(?:W\/)?"(\d+\.\d+\.\d+)"$/.exec(response.headers.get("etag") ?? "")?.[1] ?? "";
  await new Promise((resolve) => {
    const script = element("script");
    script.src = OFFICIAL_CLIENT;
    script.onload = resolve;
    script.onerror = resolve;
    document.head.append(script);
  });
  return typeof window.io === "function" ? { io: window.io, version } : null;
}

async function chooseClient() {
  const wish = new URLSearchParams(location.search).get("client");
  const official = wish === "small" ? null : await loadOfficialClient();
  if (official !== null) {
    showClient(`official JavaScript client ${official.version}`.trim(), "small");
    return official.io;
  }
  const { io } = await import("/client.js");
  showClient("Kokanee's own small client, WebSocket only", wish === "small" ? "official" : null);
  return io;
}

function showClient(name, other) {
  byId("client-name").textContent = name;
  const link = byId("client-switch");
  link.hidden = other === null;
  link.href = `?client=${other}`;
  link.textContent = `use the ${other} one`;
}

async function start() {
  startTheme();
  startLog();
  setState("connecting");
  const io = await chooseClient();
  socket = io(SOCKET_OPTIONS);
  // The official client puts namespaces on one connection, the small one makes another.
  openNamespace = (namespace, auth) =>
    socket.io.socket?.(namespace, { auth }) ?? io({ ...SOCKET_OPTIONS, namespace, auth });
  startConnection();
  startLatency();
  startChat();
  startRooms();
  startEmit();
  startBinary();
  startRaw();
}

start();
