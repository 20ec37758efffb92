// What the test programs share: bounded waits, and ways to await events and acknowledgements of any client version.

/** The longest that a test waits for anything, in ms. Nothing is measured against it. */
export const LIMIT = 10_000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fails with `what` if `promise` is not settled within the limit. */
export function within(promise, what, limit = LIMIT) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${limit} ms: ${what}`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The arguments of the next event `name`. */
export const next = (emitter, name) => within(new Promise((resolve) => emitter.once(name, (...args) => resolve(args))), `event ${name}`);

/** The arguments of the first `count` events `name`, from now on. */
export function collect(emitter, name, count) {
  const events = [];
  const all = new Promise((resolve) => {
    emitter.on(name, function listener(...args) {
      events.push(args);
      if (events.length < count) return;
      emitter.off(name, listener);
      resolve(events);
    });
  });
  return within(all, `${count} events ${name}`);
}

/** Emits and resolves with all arguments of the acknowledgement. */
export const call = (socket, name, ...args) =>
  within(new Promise((resolve) => socket.emit(name, ...args, (...answer) => resolve(answer))), `ack of ${name}`);

/** Resolves once the socket's namespace has accepted it. */
export async function connected(socket) {
  if (!socket.connected) await next(socket, "connect");
  return socket;
}

/** Resolves once the connection of `socket` has upgraded to WebSocket. */
export async function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name !== "websocket") await next(engine, "upgrade");
  return socket;
}

/** Waits until the server counts exactly `count` sockets in `/`, so that leftovers of earlier tests are gone. */
export async function alone(socket, count = 1) {
  const deadline = Date.now() + LIMIT;
  for (;;) {
    const [sockets] = await call(socket, "who");
    if (sockets.length === count) return sockets;
    if (Date.now() > deadline) throw new Error(`${sockets.length} sockets instead of ${count}`);
    await sleep(20);
  }
}

/** Plain `Uint8Array`s and arrays instead of Node's buffers, to compare by content. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]));
  return value;
}
