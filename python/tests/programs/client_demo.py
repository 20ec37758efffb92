"""Uses the events of `kokanee serve` (docs/demo-events.md): `python client_demo.py PORT TRANSPORTS`. See client_kind.py."""

import json
import sys

from client_kind import Client, do, errors, main, show, until

URL, TRANSPORTS = f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2].split(",")


async def everything():
    seen = {}
    client = Client(reconnection=False, handle_sigint=False)
    events = {}
    for name in ("welcome", "echo", "clock", "disconnect"):
        client.on(name, lambda *args, name=name: events.setdefault(name, show(list(args))))
    client.on("question", lambda *args: ("answer", {"b": b"1"}, len(args)))
    await do(client.connect(URL, transports=TRANSPORTS, wait_timeout=20))
    seen["echo"] = show(await do(client.call("echo", ("ä🐟", [1, None], b"\x00\xff"))))
    await do(client.emit("echo", ("without", b"an answer")))
    await until(lambda: "echo" in events and "welcome" in events and "clock" in events)
    seen["event"] = events["echo"]
    seen["same id"] = events["welcome"][0]["id"] == client.get_sid()
    seen["asked"] = show(await do(client.call("call me", ("question", 1, b"2"))))
    seen["rooms"] = [await do(client.call("join", "red")), await do(client.call("leave", "red"))]
    seen["failed"] = await do(client.call("fail"))
    seen["transport"] = client.transport()
    await do(client.emit("disconnect me", True))
    await until(lambda: not client.connected and "disconnect" in events)
    seen["disconnect"] = events["disconnect"]
    for token in ("wrong", "kokanee"):
        private = Client(reconnection=False, handle_sigint=False)
        refusals = []
        private.on("connect_error", lambda *args, into=refusals: into.append(show(list(args))), namespace="/private")
        options = {"auth": {"token": token}, "namespaces": ["/private"], "transports": TRANSPORTS, "wait_timeout": 20}
        try:
            await do(private.connect(URL, **options))
            seen[token] = await do(private.call("whoami", namespace="/private"))
        except errors.ConnectionError as error:
            await until(lambda: refusals)
            seen[token] = [str(error), refusals[0][0]["message"], refusals[0][0]["data"]["code"]]
        await do(private.disconnect())
    print(json.dumps(seen))


main(everything())
