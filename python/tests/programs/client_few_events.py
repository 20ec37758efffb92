"""Does with a client what socketioxide knows in the tests: `python client_few_events.py PORT TRANSPORTS`; see its interop.rs.

Prints what came back as a line of JSON. See client_kind.py.
"""

import json
import sys

from client_kind import Client, do, errors, main, show, until

URL, TRANSPORTS = f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2].split(",")
VALUES = [True, 0, 1.5, "zwei 🐟", {}, {"a": [1, {"b": None}]}, "x" * 50_000]
BYTES = [b"\x00\xff", b"y" * 50_000]
seen = {}


async def connect(client, **options):
    await do(client.connect(URL, transports=TRANSPORTS, wait_timeout=20, **options))
    return client


def new():
    return Client(reconnection=False, handle_sigint=False)


async def use(client, namespace):
    """Asks for echoes, and hears what the server says and asks."""
    events = {}

    def keep(name, result=None):
        def on(*args):
            events[name] = show(list(args))
            return result

        client.on(name, on, namespace=namespace)

    async def heard(name):
        await until(lambda: name in events)
        return events.pop(name)

    keep("said")
    keep("question", {"answer": 2})
    keep("answered")
    results = {
        "echo": [await do(client.call("echo", value, namespace=namespace, timeout=20)) == value for value in VALUES],
        "bytes": [await do(client.call("echo bytes", value, namespace=namespace, timeout=20)) == value for value in BYTES],
    }
    await do(client.emit("say", {"a": [1]}, namespace=namespace))
    results["said"] = await heard("said")
    await do(client.emit("say bytes", b"\x01", namespace=namespace))
    results["said bytes"] = await heard("said")
    await do(client.emit("ask me", "why?", namespace=namespace))
    results["asked"] = [await heard("question"), await heard("answered")]
    return results


async def everything():
    client = new()
    reasons = []
    for namespace in ("/", "/chat"):
        client.on("disconnect", lambda reason, namespace=namespace: reasons.append([namespace, reason]), namespace=namespace)
    await connect(client, namespaces=["/", "/chat"])
    for namespace in ("/", "/chat"):
        seen[namespace] = await use(client, namespace)
    seen["transport"] = client.transport()
    await do(client.emit("disconnect me", namespace="/chat"))
    await until(lambda: reasons)
    seen["still"] = [sorted(client.namespaces), await do(client.call("echo", 1))]
    await do(client.join("/chat"))
    seen["joined again"] = await do(client.call("echo", 2, namespace="/chat"))
    await do(client.leave("/chat"))
    await do(client.disconnect())
    seen["reasons"] = reasons

    private = await connect(new(), auth={"token": "kokanee"}, namespaces=["/private"])
    seen["private"] = await do(private.call("echo", "in", namespace="/private"))
    await do(private.disconnect())
    for name, namespace in (("refused", "/private"), ("unknown", "/unknown")):
        refused, heard = new(), []
        refused.on("connect_error", lambda *args, heard=heard: heard.append(show(list(args))), namespace=namespace)
        try:
            await connect(refused, auth={"token": "wrong"}, namespaces=[namespace])
        except errors.ConnectionError as error:
            await until(lambda heard=heard: heard)
            seen[name] = [error.reason, str(error), heard]
    print(json.dumps(seen))


main(everything())
