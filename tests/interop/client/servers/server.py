"""python-socketio on uvicorn, with the events that events.mjs lists."""

import argparse
import asyncio
import collections
import sys

import socketio
import uvicorn

TOKEN = "kokanee"

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, default=0)
options.add_argument("--transports", default="polling,websocket")
options.add_argument("--msgpack", action="store_true")
options.add_argument("--ping-interval", type=int, default=25_000)
options.add_argument("--ping-timeout", type=int, default=20_000)
options = options.parse_args()

sio = socketio.AsyncServer(
    async_mode="asgi",
    transports=options.transports.split(","),
    serializer="msgpack" if options.msgpack else "default",
    ping_interval=options.ping_interval / 1000,
    ping_timeout=options.ping_timeout / 1000,
    max_http_buffer_size=2_000_000,
    # One event of a client after the other, as in JavaScript.
    async_handlers=False,
)


# How often each key was noted.
notes: collections.Counter[str] = collections.Counter()


class Numbers:
    """The numbers that one client has sent."""

    def __init__(self) -> None:
        self.next = 0
        self.error: str | None = None

    def note(self, number: int) -> None:
        if number != self.next and self.error is None:
            self.error = f"{number} instead of {self.next}"
        self.next = number + 1


class Events(socketio.AsyncNamespace):
    """The events of one namespace."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.numbers: dict[str, Numbers] = {}
        self.auth: dict[str, object] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        # Names with a space cannot be methods.
        sio.on("call me", self.call_me, namespace=name)
        sio.on("disconnect me", self.disconnect_me, namespace=name)

    async def on_connect(self, sid: str, environ: dict, auth: object = None) -> None:
        if self.namespace == "/private" and (not isinstance(auth, dict) or auth.get("token") != TOKEN):
            raise socketio.exceptions.ConnectionRefusedError("not authorized", {"code": 401, "hint": "say the token"})
        self.numbers[sid] = Numbers()
        self.auth[sid] = auth

    async def on_echo(self, sid: str, *args: object) -> tuple[object, ...]:
        return args

    async def on_say(self, sid: str, *args: object) -> None:
        await self.emit("said", args, to=sid)

    async def on_burst(self, sid: str, count: int) -> tuple[()]:
        for number in range(count):
            await self.emit("number", number, to=sid)
        return ()

    async def on_number(self, sid: str, number: int) -> None:
        self.numbers[sid].note(number)

    async def on_report(self, sid: str) -> dict:
        return {"received": self.numbers[sid].next, "error": self.numbers[sid].error}

    async def on_ticks(self, sid: str, count: int, ms: int) -> tuple[()]:
        async def tick() -> None:
            for number in range(count):
                await asyncio.sleep(ms / 1000)
                await self.emit("tick", number, to=sid)

        self.start(tick())
        return ()

    async def on_note(self, sid: str, key: str) -> None:
        notes[key] += 1

    async def on_noted(self, sid: str, key: str) -> int:
        return notes[key]

    async def on_transport(self, sid: str) -> str:
        return sio.transport(sid, namespace=self.namespace)

    async def on_handshake(self, sid: str) -> dict:
        environ = sio.get_environ(sid, namespace=self.namespace)
        headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        query = dict(part.partition("=")[::2] for part in environ["QUERY_STRING"].split("&"))
        return {"auth": self.auth[sid], "query": query, "headers": headers}

    async def call_me(self, sid: str, name: str, *args: object) -> None:
        async def answered(*answer: object) -> None:
            await self.emit("answered", answer, to=sid)

        await self.emit(name, args, to=sid, callback=answered)

    async def disconnect_me(self, sid: str, close: bool = False) -> None:
        await self.disconnect(sid)

    def start(self, work: object) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


for namespace in ("/", "/chat", "/private"):
    sio.register_namespace(Events(namespace))


async def main() -> None:
    config = uvicorn.Config(
        socketio.ASGIApp(sio), host="127.0.0.1", port=options.port, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        print(f"listening {server.servers[0].sockets[0].getsockname()[1]}", flush=True)
        # The test ends the server by closing its standard input.
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, lambda: sys.stdin.buffer.raw.read(1) or setattr(server, "should_exit", True))
    await serving


asyncio.run(main())
