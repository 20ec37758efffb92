// What fastapi_types.py says of its types; the compiler checks it.
import { io, type Socket } from "socket.io-client";
import type {
  CatOutput, ClientToServerEvents, Colour, DogOutput, EventError, EverythingOutput, NamedOutput, NodeOutput, ServerToClientEvents, Size,
} from "./events.js";

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io();
const everything = {
  colour: "red" as const,
  size: 2 as const,
  pet: { kind: "dog" as const },
  needed: null,
  moment: { at: "2030-01-02T00:00:00Z", day: "2030-01-02", took: "PT1S", id: "…", price: 1.5 },
  counts: { a: 1 },
  by_colour: { red: [1] },
  pair: [1, "a"] as [number, string],
  many: [1, 2, 3],
  anything: { at: [all] },
  literal: true as const,
  content: new Uint8Array([1]),
  mixed: ["a", null],
  json_text: "[1]",
  secret: "s",
  named: [1, "y"] as [number, string],
};

function all(): void {
  socket.emit("everything", everything, (answer: EverythingOutput | EventError) => {
    if ("error" in answer) return;
    const numbers: number[] = answer.json_text;
    const optional: number | null = answer.optional;
    const price: string = answer.moment.price;
    const lives: number = answer.pet.kind === "cat" ? answer.pet.lives : answer.pet.tags.length;
    const blue: number[] | undefined = answer.by_colour.blue;
    // @ts-expect-error: there is no such colour
    answer.by_colour.green;
    console.log(numbers, optional, price, lives, blue);
  });
  // @ts-expect-error: a field is missing
  socket.emit("everything", { ...everything, needed: undefined }, () => {});
  // @ts-expect-error: no such value of the enum
  socket.emit("everything", { ...everything, colour: "green" }, () => {});
  // @ts-expect-error: no such member of the union
  socket.emit("everything", { ...everything, pet: { kind: "fish" } }, () => {});
  socket.emit("pages", { items: [{ kind: "cat" }] }, (answer) => {
    if (!("error" in answer)) console.log(answer.items[0]?.tags.length, answer.next);
  });
  socket.emit("pages", { items: [], next: 2 }, { items: [{ items: [1] }] }, () => {});
  // @ts-expect-error: a page of numbers has no cats
  socket.emit("pages", { items: [] }, { items: [{ items: [{ kind: "cat" }] }] }, () => {});
  socket.emit("pets", { kind: "cat" }, { kind: "dog", tags: ["a"] }, (answer: CatOutput | DogOutput | EventError | null) => {
    console.log(answer);
  });
  socket.emit("tree", { name: "a", children: [{ name: "b", parent: null }] }, (answer: NodeOutput[] | EventError) => {
    if (Array.isArray(answer)) console.log(answer[0]?.children[0]?.name);
  });
  socket.emit("named", { myField: 1, inName: "x" }, (answer: NamedOutput | EventError) => {
    if (!("error" in answer)) console.log(answer.myField, answer.outName, answer.length);
  });
  // @ts-expect-error: it is sent under its alias
  socket.emit("named", { my_field: 1 }, () => {});
  socket.emit("others", { a: 1, more: "b" }, [1], { a: 1 }, { a: 1, b: null }, "2030-01-02T00:00:00Z", (...answer) => {
    if (answer.length === 5) console.log(answer[1][0], answer[4]?.length);
  });
  socket.emit("nothing");
  socket.emit("nothing", (error) => console.log(error?.error.status));
  socket.emit("maybe", null, (answer: number | null | EventError) => console.log(answer));
}

socket.on("moved", (page, colour: Colour | null, at: string) => console.log(page.items[0]?.lives, colour, at));
socket.on("choose", (size: Size, callback) => callback(size === 1 ? null : { kind: "cat" }));
all();
