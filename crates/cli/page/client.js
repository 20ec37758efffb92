// A small Socket.IO client: enough for this page to work when the official one is not served.
//
// It speaks Socket.IO protocol 5 over Engine.IO protocol 4 and uses WebSocket only, so there is no upgrade.
// Its API is a part of the official client's, with the same names and meanings:
//
//   const socket = io({ namespace: "/", auth: { token: "…" } });
//   socket.on("connect", () => …);            // also "disconnect" (reason) and "connect_error" (error)
//   socket.on("news", (text, ack) => …);      // `ack` is there if the server waits for an answer
//   socket.emit("echo", 1, new Uint8Array([1, 2]), (...answer) => …);
//   const answer = await socket.timeout(1000).emitWithAck("echo", 1);
//
// Three layers, from the bottom: packets (`encode`, `Decoder`), the connection that heartbeats and reconnects
// (`Connection`), and the socket with events and acks (`Socket`).

const CONNECT = 0, DISCONNECT = 1, EVENT = 2, ACK = 3, CONNECT_ERROR = 4, BINARY_EVENT = 5, BINARY_ACK = 6;

const RESERVED_EVENTS = new Set([
  "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
]);
const ANY_EVENT = Symbol("any event");
const MAX_ATTACHMENTS = 64;

// ---------------------------------------------------------------------------------------------------- packets

// type, number of attachments, namespace, ack id, JSON: `51-/admin,7["event",{"_placeholder":true,"num":0}]`
const PACKET = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*)(?:,|$))?(\d+)?(.*)$/s;

/** Encodes one packet as a list of messages: its text, then its attachments. */
export function encode({ type, namespace, id, data }) {
  const attachments = [];
  const json = data === undefined ? "" : JSON.stringify(takeOutBinary(data, attachments));
  if (attachments.length > 0) {
    type = type === EVENT ? BINARY_EVENT : BINARY_ACK;
  }
  const count = attachments.length > 0 ? `${attachments.length}-` : "";
  const prefix = namespace === "/" ? "" : `${namespace},`;
  return [`${type}${count}${prefix}${id ?? ""}${json}`, ...attachments];
}

function takeOutBinary(value, attachments) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return { _placeholder: true, num: attachments.push(value) - 1 };
  }
  if (Array.isArray(value)) {
    return value.map((item) => takeOutBinary(item, attachments));
  }
  if (value !== null && typeof value === "object" && typeof value.toJSON !== "function") {
    const entries = Object.entries(value).map(([key, item]) => [key, takeOutBinary(item, attachments)]);
    return Object.fromEntries(entries);
  }
  return value;
}

function putBackBinary(value, attachments) {
  if (value === null || typeof value !== "object") {
    return value;
  }
  if (value._placeholder === true) {
    if (!(Number.isInteger(value.num) && value.num >= 0 && value.num < attachments.length)) {
      throw new Error("illegal attachments");
    }
    return attachments[value.num];
  }
  for (const key of Object.keys(value)) {
    value[key] = putBackBinary(value[key], attachments);
  }
  return value;
}

/** Puts packets together from messages; a packet with attachments takes several. */
export class Decoder {
  #waiting = null;

  /** Takes one message, a string or an ArrayBuffer. Returns the packet that it completes, or null. Throws on bad input. */
  add(message) {
    if (typeof message === "string") {
      if (this.#waiting !== null) {
        throw new Error("text while attachments are outstanding");
      }
      const { packet, count } = parse(message);
      if (count === 0) {
        return packet;
      }
      this.#waiting = { packet, count, attachments: [] };
      return null;
    }
    if (this.#waiting === null) {
      throw new Error("binary data without a packet that waits for it");
    }
    const { packet, count, attachments } = this.#waiting;
    attachments.push(message);
    if (attachments.length < count) {
      return null;
    }
    this.#waiting = null;
    packet.data = putBackBinary(packet.data, attachments);
    return packet;
  }
}

function parse(text) {
  const match = PACKET.exec(text);
  if (match === null) {
    throw new Error("unknown packet type");
  }
  const wireType = Number(match[1]);
  const isBinary = wireType === BINARY_EVENT || wireType === BINARY_ACK;
  const count = Number(match[2] ?? 0);
  if (isBinary !== (match[2] !== undefined) || (isBinary && count === 0) || count > MAX_ATTACHMENTS) {
    throw new Error("illegal attachments");
  }
  const packet = {
    type: { [BINARY_EVENT]: EVENT, [BINARY_ACK]: ACK }[wireType] ?? wireType,
    namespace: match[3] ?? "/",
    id: match[4] === undefined ? undefined : Number(match[4]),
    data: match[5] === "" ? undefined : JSON.parse(match[5]),
  };
  if (!hasValidData(packet)) {
    throw new Error("invalid payload");
  }
  return { packet, count };
}

function hasValidData({ type, data }) {
  const isObject = typeof data === "object" && data !== null && !Array.isArray(data);
  switch (type) {
    case CONNECT: return data === undefined || isObject;
    case DISCONNECT: return data === undefined;
    case EVENT: return Array.isArray(data) && isEventName(data[0]);
    case ACK: return Array.isArray(data);
    default: return typeof data === "string" || isObject;
  }
}

function isEventName(name) {
  return typeof name === "number" || (typeof name === "string" && !RESERVED_EVENTS.has(name));
}

// ------------------------------------------------------------------------------------------------- connection

class Emitter {
  #listeners = new Map();

  on(name, listener) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
    return this;
  }

  off(name, listener) {
    this.#listeners.set(name, (this.#listeners.get(name) ?? []).filter((other) => other !== listener));
    return this;
  }

  /** Calls the listeners of `name`; what one of them throws is reported and does not stop the others. */
  notify(name, ...args) {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(...args);
      } catch (error) {
        globalThis.reportError(error);
      }
    }
  }
}

/**
 * One Engine.IO session after the other, over WebSocket: opens, answers heartbeats, notices a dead server and
 * reconnects with exponential back-off and jitter until `close` is called.
 *
 * Notifies `open`, `packet` (packet), `close` (reason), `error` (error), `reconnect_attempt` (n), `reconnect` (n).
 */
class Connection extends Emitter {
  #options;
  #webSocket = null;
  #decoder = null;
  #silence = 0;
  #silenceTimer;
  #retryTimer;
  #attempt = 0;
  #isOpen = false;

  constructor(options) {
    super();
    this.#options = options;
  }

  /** The part of the official client's engine that says which transport is in use. */
  get engine() {
    return { transport: { name: "websocket" } };
  }

  open() {
    clearTimeout(this.#retryTimer);
    if (this.#webSocket !== null) {
      return;
    }
    const url = new URL(this.#options.path, this.#options.url);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ EIO: "4", transport: "websocket" });

    const webSocket = new WebSocket(url);
    webSocket.binaryType = "arraybuffer";
    webSocket.onmessage = ({ data }) => this.#webSocket === webSocket && this.#onMessage(data);
    webSocket.onclose = () => this.#webSocket === webSocket && this.#drop("transport close");
    this.#webSocket = webSocket;
    this.#decoder = new Decoder();
    this.#silence = this.#options.connectTimeout;
    this.#expectSign();
  }

  close() {
    clearTimeout(this.#retryTimer);
    this.#attempt = 0;
    if (this.#isOpen) {
      this.#webSocket.send("1");
    }
    this.#discard();
  }

  /** Closes with the given reason, as if the server had gone, and reconnects. */
  fail(reason) {
    this.#drop(reason);
  }

  send(packet) {
    for (const message of encode(packet)) {
      this.#webSocket.send(typeof message === "string" ? `4${message}` : message);
    }
  }

  #onMessage(message) {
    if (typeof message !== "string") {
      return this.#onPayload(message);
    }
    switch (message[0]) {
      case "0": return this.#onHandshake(message.slice(1));
      case "1": return this.#drop("transport close");
      case "2":
        this.#expectSign();
        return this.#webSocket.send("3");
      case "4": return this.#onPayload(message.slice(1));
      case "6": return undefined;
      default: return this.#drop("parse error");
    }
  }

  #onHandshake(json) {
    let handshake;
    try {
      handshake = JSON.parse(json);
    } catch {
      return this.#drop("parse error");
    }
    const attempt = this.#attempt;
    this.#attempt = 0;
    this.#isOpen = true;
    // The server pings every `pingInterval`; it is dead if none has come `pingTimeout` after that.
    this.#silence = handshake.pingInterval + handshake.pingTimeout;
    this.#expectSign();
    this.notify("open");
    if (attempt > 0) {
      this.notify("reconnect", attempt);
    }
  }

  #onPayload(message) {
    let packet;
    try {
      packet = this.#decoder.add(message);
    } catch {
      return this.#drop("parse error");
    }
    if (packet !== null) {
      this.notify("packet", packet);
    }
  }

  #expectSign() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#drop(this.#isOpen ? "ping timeout" : "timeout"), this.#silence);
  }

  /** Forgets the WebSocket; its later callbacks find that it is no longer the current one. */
  #discard() {
    clearTimeout(this.#silenceTimer);
    const webSocket = this.#webSocket;
    this.#webSocket = null;
    this.#isOpen = false;
    webSocket?.close();
  }

  #drop(reason) {
    const wasOpen = this.#isOpen;
    this.#discard();
    const { reconnectionDelay, reconnectionDelayMax } = this.#options;
    const delay = Math.min(reconnectionDelayMax, reconnectionDelay * 2 ** this.#attempt);
    const jitter = 0.5 + Math.random(); // half to one and a half, so that many clients do not come back at once
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => {
      this.notify("reconnect_attempt", this.#attempt);
      this.open();
    }, delay * jitter);
    // Told last, so that a listener may close the connection for good.
    if (wasOpen) {
      this.notify("close", reason);
    } else {
      this.notify("error", new Error(reason === "transport close" ? "websocket error" : reason));
    }
  }
}

// ----------------------------------------------------------------------------------------------------- socket

/** A connection to one namespace: events both ways, with or without acks. */
class Socket extends Emitter {
  /** The underlying connection, named as in the official client. */
  io;
  /** The public id that the server gave, while connected. */
  id = undefined;
  connected = false;
  /** Whether it is connected or tries to be. */
  active = false;

  #namespace;
  #auth;
  #acks = new Map();
  #nextAckId = 0;
  #sendBuffer = [];

  constructor(connection, { namespace, auth }) {
    super();
    this.io = connection;
    this.#namespace = namespace;
    this.#auth = auth;
    connection.on("open", () => connection.send({ type: CONNECT, namespace, data: this.#auth }));
    connection.on("packet", (packet) => packet.namespace === namespace && this.#onPacket(packet));
    connection.on("close", (reason) => this.#onClose(reason));
    connection.on("error", (error) => this.notify("connect_error", error));
  }

  connect() {
    if (!this.active) {
      this.active = true;
      this.io.open();
    }
    return this;
  }

  disconnect() {
    this.active = false;
    if (this.connected) {
      this.io.send({ type: DISCONNECT, namespace: this.#namespace });
    }
    this.io.close();
    this.#onClose("io client disconnect");
    return this;
  }

  /** Calls `listener(name, ...args)` for every event that comes in, before the listeners of that event. */
  onAny(listener) {
    return this.on(ANY_EVENT, listener);
  }

  /** Emits an event; a function as last argument gets the answer. Kept until the connection is there. */
  emit(name, ...args) {
    const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
    this.#emit(name, args, ack && { settle: (error, ...answer) => error === null && ack(...answer) });
    return this;
  }

  /** Emits an event and resolves with the first argument of the answer. Rejects if the connection is lost. */
  emitWithAck(name, ...args) {
    return this.#promise(name, args, undefined);
  }

  /** The same two methods with a time limit; there the ack function is called with an error or null first. */
  timeout(ms) {
    return {
      emit: (name, ...args) => {
        const ack = args.pop();
        this.#emit(name, args, { settle: ack, ms });
        return this;
      },
      emitWithAck: (name, ...args) => this.#promise(name, args, ms),
    };
  }

  #promise(name, args, ms) {
    return new Promise((resolve, reject) => {
      this.#emit(name, args, { settle: (error, answer) => (error ? reject(error) : resolve(answer)), ms });
    });
  }

  #emit(name, args, ack) {
    if (RESERVED_EVENTS.has(name)) {
      throw new Error(`"${name}" is a reserved event name`);
    }
    const packet = { type: EVENT, namespace: this.#namespace, data: [name, ...args] };
    if (ack !== undefined) {
      packet.id = this.#nextAckId++;
      this.#acks.set(packet.id, ack);
      if (ack.ms !== undefined) {
        ack.timer = setTimeout(() => {
          this.#sendBuffer = this.#sendBuffer.filter((other) => other !== packet);
          this.#settle(packet.id, new Error("operation has timed out"));
        }, ack.ms);
      }
    }
    if (this.connected) {
      this.io.send(packet);
    } else {
      this.#sendBuffer.push(packet);
    }
  }

  #settle(id, error, ...answer) {
    const ack = this.#acks.get(id);
    if (ack !== undefined) {
      this.#acks.delete(id);
      clearTimeout(ack.timer);
      ack.settle(error, ...answer);
    }
  }

  #onPacket({ type, id, data }) {
    switch (type) {
      case CONNECT: return this.#onConnect(data);
      case DISCONNECT: return this.#end("io server disconnect");
      case EVENT: return this.#onEvent(data, id);
      case ACK: return this.#settle(id, null, ...data);
      default: return this.#onConnectError(data);
    }
  }

  #onConnect(data) {
    if (typeof data?.sid !== "string") {
      return this.io.fail("parse error");
    }
    this.id = data.sid;
    this.connected = true;
    for (const packet of this.#sendBuffer.splice(0)) {
      this.io.send(packet);
    }
    this.notify("connect");
  }

  #onConnectError(data) {
    const error = new Error(data.message ?? data);
    error.data = data.data;
    this.#end(null);
    this.notify("connect_error", error);
  }

  #onEvent([name, ...args], id) {
    if (id !== undefined) {
      let answered = false;
      args.push((...answer) => {
        if (!answered && this.connected) {
          answered = true;
          this.io.send({ type: ACK, namespace: this.#namespace, id, data: answer });
        }
      });
    }
    this.notify(ANY_EVENT, name, ...args);
    this.notify(name, ...args);
  }

  /** Ends for good, on the server's wish. */
  #end(reason) {
    this.active = false;
    this.io.close();
    this.#onClose(reason);
  }

  #onClose(reason) {
    const wasConnected = this.connected;
    this.connected = false;
    this.id = undefined;
    // What was sent gets no answer any more; what still waits in the buffer may.
    const buffered = new Set(this.#sendBuffer.map((packet) => packet.id));
    for (const id of [...this.#acks.keys()].filter((id) => !buffered.has(id))) {
      this.#settle(id, new Error("socket has been disconnected"));
    }
    if (wasConnected && reason !== null) {
      this.notify("disconnect", reason);
    }
  }
}

/**
 * Connects to a Socket.IO server and returns the socket at once; it notifies `connect` when it is accepted.
 *
 * Options: `url` (this page's origin), `path` ("/socket.io/"), `namespace` ("/"), `auth`, `reconnectionDelay` (1000 ms),
 * `reconnectionDelayMax` (5000 ms), `connectTimeout` (20000 ms).
 */
export function io(options = {}) {
  const connection = new Connection({
    url: globalThis.location?.origin,
    path: "/socket.io/",
    reconnectionDelay: 1000,
    reconnectionDelayMax: 5000,
    connectTimeout: 20_000,
    ...options,
  });
  return new Socket(connection, { namespace: options.namespace ?? "/", auth: options.auth }).connect();
}
