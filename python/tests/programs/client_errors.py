"""Tries to connect to servers that do not let it: `python client_errors.py URL TRANSPORTS...`; each transport is a case.

Prints what was raised and what the handlers got as a line of JSON. See client_kind.py. `$OPTIONS` are those of the client.
"""

import json
import os
import sys
import threading

from client_kind import Client, SimpleClient, do, errors, main, show

OPTIONS = eval(os.environ.get("OPTIONS", "{}"))
URL = sys.argv[1]


async def attempt(transports):
    client = Client(reconnection=False, handle_sigint=False, request_timeout=3, **OPTIONS)
    calls = []
    client.on("connect_error", lambda *args: calls.append(show(list(args))))
    try:
        await do(client.connect(URL, transports=transports, wait_timeout=3))
    except errors.ConnectionError as error:
        found = {"error": str(error), "reason": getattr(error, "reason", None), "calls": calls}
    else:
        found = {"error": None}
    found["after"] = [client.connected, dict(client.namespaces), client.sid]
    # Nothing of it remains, so that it may connect again.
    await do(client.disconnect())
    return found


async def simple():
    client = SimpleClient(reconnection=False, handle_sigint=False, request_timeout=3, **OPTIONS)
    try:
        await do(client.connect(URL, transports=["websocket"], wait_timeout=3))
    except errors.ConnectionError as error:
        return [str(error), client.connected]
    return None


async def everything():
    found = {transports: await attempt(transports.split(",")) for transports in sys.argv[2:]}
    found["simple"] = await simple()
    found["threads"] = [thread.name for thread in threading.enumerate() if not thread.daemon]
    print(json.dumps(found))


main(everything())
