// The board: what the page was made with, and from then on what the server says of each order.
"use strict";

const NEXT = { new: ["baking", "Into the oven"], baking: ["ready", "Ready"], ready: ["done", "Handed over"] };
const MINUTES = 5;
const BARS = 12;

const orders = new Map();
let times = [];
const columns = document.querySelector(".columns");
const mayMove = columns.dataset.mayMove === "yes";

function show(board) {
  orders.clear();
  for (const list of columns.querySelectorAll("ol")) list.replaceChildren();
  times = board.times.map((time) => Date.parse(time));
  for (const order of board.orders) place(order, false);
  figures(board.totals);
  chart();
}

function place(order, isNews) {
  const before = orders.get(order.id);
  if (!before && isNews && order.state === "new") times.push(Date.parse(order.created));
  before?.card.remove();
  orders.delete(order.id);
  const list = columns.querySelector(`[data-state="${order.state}"] ol`);
  if (list) {
    const card = cardOf(order);
    if (isNews) card.classList.add("news");
    const after = [...list.children].find((each) => each.dataset.created > order.created);
    list.insertBefore(card, after ?? null);
    orders.set(order.id, { ...order, card });
  }
  count();
}

function cardOf(order) {
  const card = document.createElement("li");
  card.className = "card";
  card.dataset.created = order.created;
  card.innerHTML = '<div class="line"><strong></strong><span class="price"></span></div><div class="line"><span class="for"></span><time></time></div>';
  card.querySelector("strong").textContent = `${order.quantity} × ${order.item}`;
  card.querySelector(".price").textContent = order.price;
  card.querySelector(".for").textContent = order.customer;
  const time = card.querySelector("time");
  time.dateTime = order.created;
  time.textContent = ago(order.created);
  if (mayMove) {
    const [state, text] = NEXT[order.state];
    const button = document.createElement("button");
    button.textContent = text;
    button.onclick = () => {
      button.disabled = true;
      socket.timeout(10000).emit("move", order.id, state, (error, answer) => {
        button.disabled = false;
        if (error || answer.error) note(error ? "The bakery does not answer." : answer.error);
      });
    };
    card.append(button);
  }
  return card;
}

function ago(created) {
  const minutes = Math.max(0, Math.floor((Date.now() - Date.parse(created)) / 60000));
  return minutes < 1 ? "just now" : minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

function count() {
  for (const column of columns.querySelectorAll(".column")) {
    column.querySelector("b").textContent = column.querySelector("ol").children.length;
  }
}

function figures(totals) {
  for (const name of ["new", "baking", "done"]) change(name, totals[name]);
  change("revenue", Number(totals.revenue).toFixed(2));
}

function change(id, value) {
  const element = document.getElementById(id);
  if (element.textContent === String(value)) return;
  element.textContent = value;
  element.classList.remove("changed");
  void element.offsetWidth;
  element.classList.add("changed");
}

function chart() {
  const counts = new Array(BARS).fill(0);
  for (const time of times) {
    const bar = BARS - 1 - Math.floor((Date.now() - time) / (MINUTES * 60000));
    if (bar >= 0 && bar < BARS) counts[bar] += 1;
  }
  const most = Math.max(...counts, 4);
  const bars = document.getElementById("bars");
  while (bars.children.length < BARS) bars.append(document.createElement("i"));
  counts.forEach((value, index) => {
    const bar = bars.children[index];
    bar.style.setProperty("--height", value / most);
    bar.dataset.value = value || "";
  });
  const sum = counts.reduce((one, other) => one + other, 0);
  bars.setAttribute("aria-label", `${sum} orders in the last hour`);
}

let noteTimer;
function note(text) {
  const element = document.getElementById("note");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => { element.hidden = true; }, 4000);
}

function status(state, text) {
  const element = document.getElementById("status");
  element.dataset.state = state;
  element.textContent = text;
}

show(JSON.parse(document.getElementById("board").textContent));

const socket = io();
socket.on("connect", () => {
  status("live", "live");
  // What has happened since the page was made, or while it was away.
  socket.emit("board", show);
});
socket.on("disconnect", () => status("away", "reconnecting"));
socket.on("connect_error", () => status("away", "reconnecting"));
socket.on("order", (order, totals) => { place(order, true); figures(totals); chart(); });
socket.on("gone", (id, totals) => {
  orders.get(id)?.card.remove();
  orders.delete(id);
  count();
  figures(totals);
});

setInterval(() => {
  for (const time of columns.querySelectorAll("time")) time.textContent = ago(time.dateTime);
  chart();
}, 15000);

document.getElementById("order").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  const response = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } });
  if (!response.ok) return note("This order could not be taken.");
  form.customer.value = "";
  form.quantity.value = 1;
  form.customer.focus();
};
