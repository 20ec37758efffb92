"""Clients that come and go in one process: `python client_churn.py URL COUNT`. Prints what was left of them as a line of JSON."""

import gc
import json
import os
import socket
import sys
import threading
import weakref

from client_kind import Client, ClientNamespace, SimpleClient, do, errors, main, until

URL, COUNT = sys.argv[1], int(sys.argv[2])
with socket.create_server(("127.0.0.1", 0)) as listener:
    NOBODY = f"http://127.0.0.1:{listener.getsockname()[1]}"
known = weakref.WeakSet()


def new(kind=Client, **options):
    client = kind(handle_sigint=False, **options)
    known.add(client)
    return client


async def come_and_go():
    """Uses a client in all ways that leave something behind if anything does."""
    client = new()
    client.register_namespace(ClientNamespace("/class"))
    client.on("*", lambda *args: None)
    await do(client.connect(URL, transports=["websocket"], namespaces=["/", "/chat", "/class"], wait_timeout=20))
    await do(client.call("echo", {"b": b"x" * 1000}, timeout=20))
    await do(client.emit("ask", ("question", 1)))
    # No answer comes before the end.
    await do(client.emit("silent", callback=lambda *args: None))
    await do(client.disconnect())


async def fails():
    for options in ({"reconnection": False}, {}):
        client = new(**options)
        client.on("connect_error", lambda *args: None)
        try:
            await do(client.connect(NOBODY))
        except errors.ConnectionError:
            pass
    client = new(reconnection=False)
    try:
        await do(client.connect(URL, transports=["websocket"], namespaces=["/private"], wait_timeout=20))
    except errors.ConnectionError:
        pass


async def simple():
    client = new(SimpleClient)
    await do(client.connect(URL, transports=["websocket"], wait_timeout=20))
    await do(client.emit("say", 1))
    await do(client.receive(timeout=20))
    await do(client.disconnect())


async def usage():
    gc.collect()
    tasks = os.listdir("/proc/self/task")
    pages = int(open("/proc/self/statm").read().split()[1])
    return {
        "megabytes": pages * 4 / 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(tasks),
        "clients": len(known),
    }


async def everything():
    rounds = (come_and_go, fails, simple)
    for work in rounds:
        for _ in range(20):
            await work()
    await until(lambda: threading.active_count() == 1)
    before = await usage()
    for work in rounds:
        for _ in range(COUNT):
            await work()
    await until(lambda: threading.active_count() == 1)
    after = await usage()
    print(json.dumps({"before": before, "after": after}))


main(everything())
