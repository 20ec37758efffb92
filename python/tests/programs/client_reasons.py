"""Clients that leave in several ways: `python client_reasons.py PORT TRANSPORTS`. Prints what the server says of each. See client_kind.py.

With a third argument it is one that is ended from outside: it joins, prints UP, and waits.
"""

import json
import os
import sys
import time

from client_kind import PACKAGE, Client, do, main, pause, until

URL, TRANSPORTS = f"http://127.0.0.1:{sys.argv[1]}", sys.argv[2].split(",")


async def connected():
    client = Client(reconnection=False, handle_sigint=False)
    await do(client.connect(URL, transports=TRANSPORTS, namespaces=["/", "/chat"], wait_timeout=20))
    return client


async def stays():
    await connected()
    print("UP", flush=True)
    while True:
        await pause(1)


async def everything():
    observer = await connected()

    async def noted(*reasons):
        """Waits until a client has left `/chat` for one of these reasons, and returns which."""
        for _ in range(1500):
            for reason in reasons:
                if await do(observer.call("noted", f"disconnect /chat {reason}", timeout=20)):
                    return reason
            await pause(0.01)
        return None

    kicked = await connected()
    await do(kicked.emit("disconnect me", namespace="/chat"))
    found = {"server": await noted("server disconnect")}
    await until(lambda: "/chat" not in kicked.namespaces)
    left = await connected()
    await do(left.disconnect())
    # python-socketio's client hangs up without waiting until its last words are sent.
    found["client"] = await noted("client disconnect", "transport close", "transport error")
    print("READY", flush=True)
    sys.stdin.readline()
    found["gone"] = await noted(*json.loads(os.environ["GONE"]))
    print(json.dumps(found), flush=True)
    await do(observer.disconnect())


main(stays() if len(sys.argv) > 3 else everything())
