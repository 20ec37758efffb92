"""What simple clients see of client_server.py: `python client_simple.py PORT TRANSPORTS`. Prints it as a line of JSON."""

import asyncio
import json
import sys
import threading
import time

from client_kind import IS_ASYNC, PACKAGE, SimpleClient, do, errors, main, show, until

URL, TRANSPORTS = f"http://127.0.0.1:{sys.argv[1]}?scenario=simple", sys.argv[2].split(",")
seen = {}


async def error_of(value, *kinds):
    try:
        await do(value() if callable(value) else value)
    except kinds as error:
        return [type(error).__name__, str(error)]
    raise AssertionError("no error")


async def connect(client, **options):
    await do(client.connect(URL, transports=TRANSPORTS, **options))


def later(seconds, function):
    """Calls a function after a while, in a thread or task of its own."""
    if IS_ASYNC:

        async def wait():
            await asyncio.sleep(seconds)
            await function()

        return asyncio.ensure_future(wait())
    timer = threading.Timer(seconds, function)
    timer.start()
    return timer


async def left(client):
    """Waits until a client is disconnected. python-socketio's does not notice while it receives."""
    if PACKAGE == "socketio":
        await until(lambda: not client.connected)


async def use(client):
    seen["before"] = [client.sid, client.transport, client.connected]
    await connect(client, auth={"greet": ["hi", 1]})
    seen["connected"] = [isinstance(client.sid, str), client.transport, client.connected]
    seen["greeting"] = show(await do(client.receive(timeout=10)))
    seen["again"] = await error_of(lambda: connect(client), RuntimeError)
    await do(client.emit("say", ("one", 2, b"3")))
    seen["said"] = show(await do(client.receive(timeout=10)))
    await do(client.emit("say"))
    seen["without data"] = show(await do(client.receive()))
    seen["call"] = show([await do(client.call("echo", value)) for value in ("x", ("a", b"b"), [1, 2], None)])
    seen["no event"] = (await error_of(lambda: client.receive(timeout=0.05), errors.TimeoutError))[0]
    seen["no answer"] = (await error_of(lambda: client.call("silent", timeout=0.05), errors.TimeoutError))[0]
    for _ in range(3):
        await do(client.emit("say", "queued"))
    seen["queued"] = [await do(client.receive(timeout=10)) for _ in range(3)]
    if IS_ASYNC:
        # The blocking published client handles each event in a thread of its own, in any order.
        await do(client.emit("burst", 200))
        numbers = [await do(client.receive(timeout=10)) for _ in range(200)]
        seen["burst"] = numbers == [["number", number] for number in range(200)]
    later(0.1, lambda: client.emit("say", "while receiving"))
    seen["while receiving"] = await do(client.receive(timeout=20))


async def everything():
    client = SimpleClient(handle_sigint=False)
    await use(client)
    await do(client.disconnect())
    seen["after"] = [client.sid, client.transport, client.connected]
    seen["emit after"] = await error_of(lambda: client.emit("x"), errors.DisconnectedError)
    seen["call after"] = await error_of(lambda: client.call("x"), errors.DisconnectedError)
    seen["receive after"] = await error_of(lambda: client.receive(), errors.DisconnectedError)
    await do(client.disconnect())
    if IS_ASYNC:
        async with SimpleClient() as inner:
            await connect(inner, namespace="/chat")
            seen["chat"] = await inner.call("echo", 1)
            await inner.emit("kick")
            await left(inner)
            seen["kicked"] = await error_of(inner.receive(timeout=20), errors.DisconnectedError)
    else:
        with SimpleClient() as inner:
            inner.connect(URL, transports=TRANSPORTS, namespace="/chat")
            seen["chat"] = inner.call("echo", 1)
            inner.emit("kick")
            await left(inner)
            seen["kicked"] = await error_of(lambda: inner.receive(timeout=20), errors.DisconnectedError)
    seen["outside"] = inner.connected
    refused = SimpleClient()
    seen["refused"] = await error_of(lambda: connect(refused, namespace="/private"), errors.ConnectionError)
    begin = time.monotonic()
    seen["nobody there"] = (
        await error_of(lambda: SimpleClient().connect("http://127.0.0.1:1"), errors.ConnectionError)
    )[:1]
    assert time.monotonic() - begin < 10
    print(json.dumps(seen), flush=True)


main(everything())
