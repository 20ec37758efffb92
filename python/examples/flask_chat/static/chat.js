const socket = io();
const me = document.body.dataset.name;
const find = (id) => document.getElementById(id);
const status = find("status");
let room = "lobby";
let last = null;

const show = () => {
  status.textContent = `connected over ${socket.io.engine.transport.name}`;
  status.className = "on";
};
const gone = (text) => {
  status.textContent = text;
  status.className = "";
};

function add(message) {
  const list = find("messages");
  const item = document.createElement("li");
  const isFirst = last?.name !== message.name || message.at - last.at > 300;
  item.className = `${message.name === me ? "mine" : ""} ${isFirst ? "first" : ""}`;
  const who = document.createElement("div");
  who.className = "who";
  const name = document.createElement("b");
  name.textContent = message.name;
  const time = document.createElement("time");
  time.textContent = new Date(message.at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  who.append(name, time);
  const text = document.createElement("div");
  text.className = "text";
  text.textContent = message.text;
  item.append(who, text);
  list.append(item);
  last = message;
  list.scrollTop = list.scrollHeight;
}

async function enter(name) {
  room = name;
  for (const button of document.querySelectorAll("[data-room]")) {
    button.toggleAttribute("aria-current", button.dataset.room === name);
  }
  find("text").placeholder = `Message # ${name}`;
  find("typing").textContent = "";
  const messages = await socket.emitWithAck("enter", name);
  if (room !== name) return;
  last = null;
  find("messages").replaceChildren();
  messages.forEach(add);
}

socket.on("connect", () => {
  show();
  socket.io.engine.once("upgrade", show);
  enter(room);
});
socket.on("disconnect", () => gone("reconnecting"));
socket.on("connect_error", (error) => gone(error.message));
socket.on("message", (message) => {
  if (message.room === room) add(message);
  find("typing").textContent = "";
});
socket.on("people", ({ room: where, people }) => {
  if (where !== room) return;
  find("count").textContent = people.length;
  find("people").replaceChildren(
    ...people.map((name) => {
      const item = document.createElement("li");
      item.dataset.initial = [...name][0].toUpperCase();
      item.textContent = name;
      return item;
    }),
  );
});

let quiet;
socket.on("typing", (name) => {
  find("typing").textContent = `${name} is typing`;
  clearTimeout(quiet);
  quiet = setTimeout(() => { find("typing").textContent = ""; }, 2000);
});

for (const button of document.querySelectorAll("[data-room]")) {
  button.onclick = () => enter(button.dataset.room);
}
let told = 0;
find("text").oninput = () => {
  if (Date.now() - told < 1000) return;
  told = Date.now();
  socket.volatile.emit("typing");
};
find("say").onsubmit = (event) => {
  event.preventDefault();
  const input = find("text");
  if (input.value.trim()) socket.emit("say", input.value);
  input.value = "";
};
