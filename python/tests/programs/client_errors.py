"""Tries to connect to servers that do not let it: `python client_errors.py NAME=URL...`; no URL needs more time than it has.

Prints what was raised and what the handlers got as a line of JSON. See client_kind.py.
"""

import json
import resource
import sys
import threading

from client_kind import Client, SimpleClient, do, errors, main, show

#: Those that never answer, so that time is what ends it.
SILENT = {"silent", "half a head", "half a body", "no answer to CONNECT", "noise"}


async def attempt(url, transport, seconds):
    client = Client(reconnection=False, handle_sigint=False, request_timeout=seconds)
    calls = []
    client.on("connect_error", lambda *args: calls.append(show(list(args))))
    try:
        await do(client.connect(url, transports=[transport], wait_timeout=seconds))
    except errors.ConnectionError as error:
        found = {"error": str(error), "reason": getattr(error, "reason", None), "calls": calls}
    else:
        found = {"error": None}
    found["after"] = [client.connected, dict(client.namespaces), client.sid]
    # Nothing of it remains, so that it may connect again.
    await do(client.disconnect())
    return found


async def simple(url, transport, seconds):
    client = SimpleClient(reconnection=False, handle_sigint=False, request_timeout=seconds)
    try:
        await do(client.connect(url, transports=[transport], wait_timeout=seconds))
    except errors.ConnectionError as error:
        return [str(error), client.connected]
    return None


async def everything():
    found = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for argument in sys.argv[1:]:
        name, url = argument.split("=", 1)
        seconds = 0.5 if name in SILENT else 20
        found[name] = {transport: await attempt(url, transport, seconds) for transport in ("polling", "websocket")}
        for transport in ("polling", "websocket"):
            found[name][f"simple {transport}"] = await simple(url, transport, seconds)
    threads = [thread.name for thread in threading.enumerate() if not thread.daemon]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"cases": found, "threads": threads, "megabytes": grown}))


main(everything())
