"""Emits events right before it disconnects, and asks whether they came: `python client_notes.py PORT TRANSPORTS`."""

import json
import os
import sys

from client_kind import Client, do, main, pause

URL, TRANSPORTS = f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2].split(",")
OPTIONS = eval(os.environ.get("OPTIONS", "{}"))
COUNT = 20


async def connected():
    client = Client(reconnection=False, handle_sigint=False, **OPTIONS)
    await do(client.connect(URL, transports=TRANSPORTS, wait_timeout=20))
    return client


async def everything():
    for _ in range(COUNT):
        client = await connected()
        await do(client.emit("note", "last words"))
        await do(client.disconnect())
    client = await connected()
    # The server may still be about to handle the last one.
    for _ in range(500):
        noted = await do(client.call("noted", "last words", timeout=20))
        if noted >= COUNT:
            break
        await pause(0.02)
    await do(client.disconnect())
    print(json.dumps([noted, COUNT]))


main(everything())
