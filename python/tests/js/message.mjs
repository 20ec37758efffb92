// Connects, sends `my_message` and waits for its empty acknowledgement, disconnects.
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_PATH + "/");
const { io } = require("socket.io-client");

const socket = io(`http://127.0.0.1:${process.argv[2]}`, { reconnection: false });
socket.on("connect_error", (error) => { console.error(error); process.exit(1); });
socket.on("connect", () => {
  socket.timeout(10_000).emit("my_message", { text: "hällo" }, (error, ...answers) => {
    console.log(JSON.stringify({ error: error ?? null, answers }));
    socket.disconnect();
  });
});
