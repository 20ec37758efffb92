// Is compiled with the declaration that the server exports: what is right is accepted, and what is wrong is not.
import { io, type Socket } from "socket.io-client";
import type {
  Binary,
  ClientToServerEvents,
  ErrorDetail,
  EventError,
  OrderInput,
  OrderOutput,
  Receipt,
  ServerToClientEvents,
  UnansweredFailure,
  V1StaffOnlyAuth,
  V1StaffOnlyClientToServerEvents,
  V1StaffOnlyServerToClientEvents,
} from "./shop-events.js";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io();

// What clients emit.
socket.emit("order", { text: "tea" }, (answer) => {
  const either: Receipt | EventError = answer;
  if ("error" in answer) {
    const status: number = answer.error.status;
    const detail: string | ErrorDetail[] | { [key: string]: unknown } = answer.error.detail;
    console.log(either, status, detail);
  } else {
    const colour: "green" | "black" = answer.order.colour;
    const parts: OrderOutput | null = answer.order.part_of;
    const pair: [number, string] = answer.order.pair;
    const rest: number[] = answer.order.rest;
    const blob: Binary = answer.order.blob;
    const city: string | undefined = answer.order.place.city;
    const height: number = answer.order.size.height;
    if (answer.order.pet.kind === "dog") console.log(answer.order.pet["tail-length"].toFixed());
    // @ts-expect-error: a cat has no tail
    else console.log(answer.order.pet["tail-length"]);
    console.log(colour, parts, pair, rest, blob, city, height);
  }
});
const full: OrderInput = {
  text: "tea", colour: "black", pet: { kind: "dog", "tail-length": 2 }, part_of: { text: "part" }, extra: { a: 1 },
  pair: [1, "x"], rest: [1, 2], blob: new Uint8Array(2), at: "2030-01-01T00:00:00Z", place: {}, size: { width: 1 },
  anything: [1, { a: null }], flag: "two",
};
socket.emit("order", full, () => {});
const answered: Receipt | EventError = await socket.emitWithAck("order", full);
const sum: number | EventError = await socket.timeout(1000).emitWithAck("add", 1, 2);
socket.emit("add", 1, () => {});
socket.emit("add", 1, 2, () => {});
socket.emit("many words", 1, (first, second?: Binary) => console.log(first, second));
socket.emit("many words", 1, [full], new ArrayBuffer(1), new Uint8Array(1), () => {});
socket.emit("quiet", "x");
socket.emit("quiet", "x", (error) => console.log(error?.error.status));
socket.emit("unsaid", { any: "thing" });
socket.emit("unsaid", 1, 2, (answer: unknown) => console.log(answer));
console.log(answered, sum);

// @ts-expect-error: the text is missing
socket.emit("order", {}, () => {});
// @ts-expect-error: the colour is not one of them
socket.emit("order", { text: "x", colour: "red" }, () => {});
// @ts-expect-error: the order is answered
socket.emit("order", { text: "x" });
// @ts-expect-error: there is no such event
socket.emit("ordre", { text: "x" });
// @ts-expect-error: an argument of another type
socket.emit("add", "1", () => {});
// @ts-expect-error: the pair is not whole
socket.emit("order", { text: "x", pair: [1] }, () => {});
// @ts-expect-error: an event of the server
socket.emit("tick");

// What the server emits.
socket.on("news", (title, receipt) => {
  const text: string = title;
  const number: number = receipt.number;
  // @ts-expect-error: a number is not a text
  const wrong: string = receipt.number;
  console.log(text, number, wrong);
});
socket.on("confirm", (order, callback) => callback(order.text === "sure"));
// @ts-expect-error: the answer is a boolean
socket.on("confirm", (order, callback) => callback(order.text));
socket.on("tick", () => {});
socket.on("error", (failure: UnansweredFailure) => console.log(failure.event, failure.status));
// @ts-expect-error: there is no such event
socket.on("tock", () => {});

const auth: V1StaffOnlyAuth = { token: "good" };
const staff: Socket<V1StaffOnlyServerToClientEvents, V1StaffOnlyClientToServerEvents> = io("/v1/staff-only", { auth });
const who: "green" | "black" | EventError = await staff.emitWithAck("who");
console.log(who);
