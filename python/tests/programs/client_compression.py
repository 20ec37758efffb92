"""Echoes values that are short or long, text or bytes: `python client_compression.py PORT TRANSPORTS`. See client_kind.py.

`$COMPRESSION` is the option of the client. Prints which values came back as they were as a line of JSON.
"""

import json
import os
import random
import sys

from client_kind import Client, do, main

URL, TRANSPORTS = f"http://127.0.0.1:{sys.argv[1]}?scenario=compression", sys.argv[2].split(",")
OPTIONS = {"compression": os.environ["COMPRESSION"] == "yes", **eval(os.environ.get("OPTIONS", "{}"))}
WORDS = " ".join(f"word {number * number % 977}" for number in range(10_000))
VALUES = {
    "nothing": "",
    "short text": "zwei 🐟",
    "short bytes": b"\x00\xff",
    "text": WORDS[:2000],
    "long text": WORDS,
    "long bytes": WORDS.encode(),
    "bytes at random": random.Random(1).randbytes(10_000),
    "several": [WORDS[:500], {"b": [WORDS[:5000].encode(), b""]}],
}


async def everything():
    client = Client(reconnection=False, handle_sigint=False, **OPTIONS)
    await do(client.connect(URL, transports=TRANSPORTS, wait_timeout=20))
    wrong = []
    for _ in range(3):
        for name, value in VALUES.items():
            if await do(client.call("echo", value, timeout=20)) != value:
                wrong.append(name)
    await do(client.disconnect())
    print(json.dumps({"transport": TRANSPORTS[-1], "wrong": wrong}))


main(everything())
