"""Servers that accept a client and then do what no server does: `python client_stalls.py NAME=TRANSPORTS=PORT...`. See client_kind.py.

Prints what each kind of client made of it as a line of JSON.
"""

import json
import resource
import sys
import threading

from client_kind import Client, SimpleClient, do, errors, main, until

#: An answer that a test waits for comes within this time, or the connection ends.
SECONDS = 60


async def error_of(call):
    try:
        await do(call())
    except errors.SocketIOError as error:
        return [type(error).__name__, str(error)]
    return None


async def usual(url, transports, is_deaf):
    client = Client(reconnection=False, handle_sigint=False, request_timeout=1)
    reasons = []
    client.on("disconnect", lambda reason: reasons.append([reason, reason.detail]))
    error = await error_of(lambda: client.connect(url, transports=transports, wait_timeout=5))
    found = {"error": error, "transport": client.transport()}
    # One that is deaf stays connected, and never answers.
    found["call"] = await error_of(lambda: client.call("echo", 1, timeout=0.3 if is_deaf else SECONDS))
    if not is_deaf:
        await until(lambda: reasons)
    await do(client.disconnect())
    await do(client.wait())
    return {**found, "reasons": reasons, "after": [client.connected, dict(client.namespaces), client.sid]}


async def simple(url, transports, is_deaf):
    client = SimpleClient(reconnection=False, handle_sigint=False, request_timeout=1)
    error = await error_of(lambda: client.connect(url, transports=transports, wait_timeout=5))
    found = {"error": error}
    found["receive"] = await error_of(lambda: client.receive(timeout=0.3 if is_deaf else SECONDS))
    found["call"] = await error_of(lambda: client.call("echo", 1, timeout=0.3 if is_deaf else SECONDS))
    await do(client.disconnect())
    return {**found, "after": [client.connected, client.sid]}


async def everything():
    seen = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for argument in sys.argv[1:]:
        name, transports, port = argument.split("=")
        url, transports = f"http://127.0.0.1:{port}", transports.split(",")
        is_deaf = name.startswith("deaf")
        seen[name] = {
            "usual": await usual(url, transports, is_deaf),
            "simple": await simple(url, transports, is_deaf),
        }
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    threads = [thread.name for thread in threading.enumerate() if not thread.daemon]
    print(json.dumps({"seen": seen, "megabytes": grown, "threads": threads}))


main(everything())
