"""Does with a client what the servers in tests/interop/client/servers know: `python client_interop.py PORT TRANSPORTS`.

Prints what came back as a line of JSON. See client_kind.py. `$OPTIONS` are more options of the client.
"""

import json
import os
import sys

from client_kind import Client, do, errors, main, pause, show, until

URL, TRANSPORTS = f"http://127.0.0.1:{sys.argv[1]}/?who=python", sys.argv[2].split(",")
TOKEN = {"token": "kokanee"}
OPTIONS = eval(os.environ.get("OPTIONS", "{}"))
seen = {}
VALUES = [
    None,
    True,
    0,
    1.5,
    "zwei 🐟",
    [],
    {},
    {"a": [1, {"b": None}]},
    b"\x00\xff",
    [b"1", {"x": b"2"}],
    "x" * 100_000,
    b"y" * 100_000,
]


def new():
    return Client(reconnection=False, handle_sigint=False, **OPTIONS)


async def connect(client, **options):
    await do(client.connect(URL, transports=TRANSPORTS, wait_timeout=20, **options))
    return client


async def use(client, namespace, events):
    results = {}
    results["echo"] = [
        await do(client.call("echo", value, namespace=namespace, timeout=20)) == value for value in VALUES
    ]
    results["none"] = show(await do(client.call("echo", (), namespace=namespace)))
    results["several"] = show(await do(client.call("echo", (1, b"2", [3]), namespace=namespace)))
    await do(client.emit("say", ("one", 2, b"\x03"), namespace=namespace))
    await until(lambda: "said" in events)
    results["said"] = events.pop("said")
    for name in ("answers value", "answers several", "answers nothing", "answers bytes"):
        await do(client.emit("call me", (name, 1, b"2"), namespace=namespace))
        await until(lambda: "answered" in events)
        results[name] = [events.pop(name), events.pop("answered")]
    await do(client.emit("burst", 300, namespace=namespace))
    await until(lambda: len(events.get("number", [])) == 300)
    # The blocking client of python-socketio handles them in any order.
    results["numbers"] = sorted(events.pop("number")) == list(range(300))
    for number in range(200):
        await do(client.emit("number", number, namespace=namespace))

    async def received():
        return await do(client.call("report", namespace=namespace, timeout=20))

    while (report := await received())["received"] < 200 and report["error"] is None:
        await pause(0.01)
    results["report"] = report
    return results


def listen(client, namespace):
    events = {}

    def keep(name, result):
        def on(*args):
            events[name] = show(list(args))
            return result

        client.on(name, on, namespace=namespace)

    keep("said", None)
    keep("answered", None)
    keep("answers value", "value")
    keep("answers several", (1, [2], "three"))
    keep("answers nothing", None)
    keep("answers bytes", {"b": b"4"})
    client.on("number", lambda number: events.setdefault("number", []).append(number), namespace=namespace)
    client.on("disconnect", lambda reason: events.__setitem__("disconnect", reason), namespace=namespace)
    return events


async def everything():
    client = new()
    events = {namespace: listen(client, namespace) for namespace in ("/", "/chat")}
    await connect(client, auth=TOKEN, headers={"X-Test": "header"}, namespaces=["/", "/chat"])
    for namespace in ("/", "/chat"):
        seen[namespace] = await use(client, namespace, events[namespace])
    shake = await do(client.call("handshake"))
    seen["handshake"] = [shake["query"]["who"], shake["headers"]["x-test"], shake["auth"]]
    seen["transport"] = [client.transport(), await do(client.call("transport"))]
    await do(client.emit("note", "last words"))
    await do(client.call("noted", "last words"))
    await do(client.emit("disconnect me", namespace="/chat"))
    await until(lambda: "disconnect" in events["/chat"])
    seen["kicked"] = [events["/chat"]["disconnect"], sorted(client.namespaces), await do(client.call("echo", 1))]
    await do(client.disconnect())
    await until(lambda: not client.connected)
    seen["left"] = events["/"]["disconnect"]

    if "eio_version" not in OPTIONS:
        # Those of revision 3 have no auth.
        private = await connect(new(), auth=TOKEN, namespaces=["/private"])
        seen["private"] = show(await do(private.call("echo", "in", namespace="/private")))
        await do(private.disconnect())
    refused = new()
    reasons = []
    refused.on("connect_error", lambda *args: reasons.append(show(list(args))), namespace="/private")
    try:
        await connect(refused, auth={"token": "wrong"}, namespaces=["/private"])
    except errors.ConnectionError as error:
        await until(lambda: reasons)
        seen["refused"] = [str(error), reasons]
    unknown = new()
    try:
        await connect(unknown, namespaces=["/unknown"])
    except errors.ConnectionError as error:
        seen["unknown"] = str(error)
    await do(refused.disconnect())
    await do(unknown.disconnect())
    print(json.dumps(seen))


main(everything())
