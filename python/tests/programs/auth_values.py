"""Clients that send values of all kinds as auth: `python auth_values.py URL`. Prints which were accepted as a line of JSON."""

import json
import sys

from client_kind import Client, do, errors, main

VALUES = ["a token", "", 5, True, False, None, [1, "two"], [], {}, {"token": "x"}]


async def everything():
    accepted = []
    for value in VALUES:
        client = Client(reconnection=False)
        try:
            await do(client.connect(sys.argv[1], auth=value, transports=["websocket"], wait_timeout=20))
        except errors.ConnectionError:
            continue
        accepted.append(value)
        await do(client.disconnect())
    print(json.dumps(accepted))


main(everything())
