"""Connects to servers that break the rules: `python client_wrong.py NAME=PORT...`. Prints what came of it as a line of JSON."""

import json
import resource
import sys
import threading

from client_kind import Client, do, errors, main

seen = {}


async def attempt(port):
    client = Client(reconnection=False, handle_sigint=False, request_timeout=1)
    try:
        await do(client.connect(f"http://127.0.0.1:{port}", transports=["websocket"], wait_timeout=0.5))
    except errors.ConnectionError as error:
        text = str(error)
    else:
        text = ""
    await do(client.disconnect())
    return {"error": text, "after": [client.connected, dict(client.namespaces), client.sid]}


async def everything():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for argument in sys.argv[1:]:
        name, port = argument.rsplit("=", 1)
        seen[name] = await attempt(port)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    threads = [thread.name for thread in threading.enumerate() if not thread.daemon]
    print(json.dumps({"seen": seen, "threads": threads, "megabytes": grown}))


main(everything())
