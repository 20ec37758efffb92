"""A client that stays: `python client_watch.py URL`. It writes what happens to it as lines of JSON, and does what lines of its input say.

`$OPTIONS` are those of the client, `$CONNECT` those of its connect. The lines of the input are Python, where `client` is the client,
`do` awaits, and `say` writes. It ends when `wait` ends. See client_kind.py.
"""

import asyncio
import json
import os
import sys
import threading
import time

from client_kind import IS_ASYNC, Client, do, errors, finish, pause, show

OPTIONS = {"handle_sigint": False, **eval(os.environ.get("OPTIONS", "{}"))}
CONNECT = {"wait_timeout": 10, **eval(os.environ.get("CONNECT", "{}"))}
URL = sys.argv[1]
counts = {"auth": 0}
numbers = []
#: What the engine says of each end of the connection.
details = []


def say(*what):
    sys.stdout.write(json.dumps(show(list(what))) + "\n")
    sys.stdout.flush()


def auth():
    counts["auth"] += 1
    return {"count": counts["auth"]}


def happened(name, *args):
    if name == "disconnect":
        details.append(getattr(args[0], "detail", None))
    say(name, *([] if name == "connect_error" else args))


client = Client(**{"reconnection_delay": 0.1, "reconnection_delay_max": 0.5, "randomization_factor": 0.05, **OPTIONS})
for name in ("connect", "disconnect", "connect_error", "__disconnect_final", "said"):
    client.on(name, lambda *args, name=name: happened(name, *args))
if "namespaces" in CONNECT:
    for namespace in CONNECT["namespaces"][1:]:
        client.on("connect", lambda namespace=namespace: say("connect", namespace), namespace=namespace)
        client.on("said", lambda *args, name=f"said in {namespace[1:]}": say(name, *args), namespace=namespace)


@client.on("number")
def number(value):
    numbers.append(value)


@client.on("tick")
def tick(value, *padding):
    numbers.append(value)


@client.on("block")
def block(seconds):
    say("blocks")
    time.sleep(seconds)
    say("blocked")


@client.on("hold")
def hold(path):
    """Blocks until there is a file."""
    say("holds")
    while not os.path.exists(path):
        time.sleep(0.01)
    say("held")


async def obey(line):
    scope = {
        "client": client,
        "do": do,
        "say": say,
        "numbers": numbers,
        "counts": counts,
        "details": details,
        "errors": errors,
        "pause": pause,
        "os": os,
    }
    scope["threading"] = threading
    exec("async def command():\n    " + line, scope)
    try:
        await scope["command"]()
    except Exception as error:
        say("failed", type(error).__name__, str(error))


def read(run):
    for line in sys.stdin:
        run(obey(line))


async def main():
    if IS_ASYNC:
        loop = asyncio.get_running_loop()

        def run(coroutine):
            asyncio.run_coroutine_threadsafe(coroutine, loop).result()
    else:
        run = finish
    threading.Thread(target=read, args=[run], daemon=True).start()
    try:
        await do(client.connect(URL, auth=auth, **CONNECT))
    except errors.ConnectionError as error:
        say("refused", str(error))
        return
    say("connected", counts["auth"], client.transport())
    await do(client.wait())
    say("waited", client.connected)


asyncio.run(main()) if IS_ASYNC else finish(main())
