// What every server of these tests does, in JavaScript for socket.io 4, 3 and 2; server.py says the same in Python.
//
// | event of the client             | the server                                                                    |
// |---------------------------------|-------------------------------------------------------------------------------|
// | `echo` ...args                  | acknowledges with the same arguments                                          |
// | `say` ...args                   | emits `said` with the same arguments                                          |
// | `call me` name, ...args         | emits `name` with the arguments, and `answered` with the client's answer      |
// | `burst` count                   | emits `number` with 0 to count - 1, then acknowledges if asked to             |
// | `number` n                      | notes it: each has to be one more than the last                               |
// | `report`                        | acknowledges with `{received, error}` about the numbers                       |
// | `ticks` count, ms               | acknowledges, then emits `tick` with 0 to count - 1 at that interval          |
// | `enter` room                    | joins the room                                                                |
// | `rooms`                         | acknowledges with the rooms, without that of the socket itself                |
// | `note` key                      | counts it, for all clients                                                    |
// | `noted` key                     | acknowledges with how often it was noted                                      |
// | `transport`                     | acknowledges with the name of the transport                                   |
// | `handshake`                     | acknowledges with `{auth, query, headers}`                                    |
// | `disconnect me` close           | disconnects the socket, or the whole connection                               |
//
// Namespaces: `/`, `/chat` for everybody, `/private` for those who say the token.

const notes = new Map();

/** Registers the events on a socket. `io` addresses rooms, also when the socket itself is gone. */
export function serve(io, socket) {
  let next = 0;
  let error = null;
  socket.on("echo", (...args) => args.pop()(...args));
  socket.on("say", (...args) => socket.emit("said", ...args));
  socket.on("call me", (name, ...args) => socket.emit(name, ...args, (...answer) => socket.emit("answered", ...answer)));
  socket.on("burst", (count, ack) => {
    for (let n = 0; n < count; n++) socket.emit("number", n);
    ack?.();
  });
  socket.on("number", (n) => {
    if (n !== next) error ??= `${n} instead of ${next}`;
    next = n + 1;
  });
  socket.on("report", (ack) => ack({ received: next, error }));
  socket.on("ticks", (count, ms, ack) => {
    ack();
    let tick = 0;
    const timer = setInterval(() => {
      io.of(socket.nsp.name).to(socket.id).emit("tick", tick++);
      if (tick >= count) clearInterval(timer);
    }, ms);
  });
  socket.on("enter", (room) => socket.join(room));
  socket.on("rooms", (ack) => ack([...socket.rooms].filter((room) => room !== socket.id)));
  socket.on("note", (key) => notes.set(key, (notes.get(key) ?? 0) + 1));
  socket.on("noted", (key, ack) => ack(notes.get(key) ?? 0));
  socket.on("transport", (ack) => ack(socket.conn.transport.name));
  socket.on("handshake", (ack) => {
    const { auth, query, headers } = socket.handshake;
    ack({ auth: auth ?? null, query, headers });
  });
  socket.on("disconnect me", (close) => socket.disconnect(close === true));
}

/** The refusal of `/private`. */
export function refusal() {
  const error = new Error("not authorized");
  error.data = { code: 401, hint: "say the token" };
  return error;
}

export const TOKEN = "kokanee";

/** Tells the test where the server listens, and ends it in good order when the test closes its standard input. */
export function announce(http, io, port) {
  process.stdin.resume().once("end", () => io.close(() => process.exit(0)));
  http.listen(port, "127.0.0.1", () => console.log(`listening ${http.address().port}`));
}
