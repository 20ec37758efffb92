"""Ways in which a process with clients ends: `python client_exits.py URL HOW`. See client_kind.py."""

import asyncio
import os
import signal
import sys
import threading
import time

from client_kind import IS_ASYNC, Client, SimpleClient, do, finish

URL, HOW = sys.argv[1], sys.argv[2]
OPTIONS = eval(os.environ.get("OPTIONS", "{}"))
client = Client(**OPTIONS)


def say(*words):
    # One write, as processes write at the same time.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


client.on("disconnect", lambda reason: say("DISCONNECT", reason))


async def connect(one=client, **options):
    await do(one.connect(URL, wait_timeout=20, **options))


async def waits():
    """Ends by a signal."""
    await connect()
    say("READY")
    await do(client.wait())
    say("WAITED")


async def waits_for_an_answer():
    await connect()
    say("READY")
    await do(client.call("silent"))


async def receives():
    simple = SimpleClient(**OPTIONS)
    await connect(simple)
    say("READY")
    await do(simple.receive())


async def reconnects():
    """Its server is gone when the signal comes."""
    await connect()
    say("READY")
    await do(client.wait())


async def emits():
    """Emits more than its server reads."""
    await connect()
    say("READY")
    while True:
        await do(client.emit("nothing", "x" * 100_000))


async def many():
    """Waits with others of its process."""
    others = [Client(**OPTIONS) for _ in range(100)]
    for one in others:
        await connect(one, transports=["websocket"])
    await connect()
    say("READY")
    await do(client.wait())


async def connects():
    """Waits for a server that says nothing."""
    say("READY")
    await do(client.connect(URL, wait_timeout=100))


async def connects_simply():
    simple = SimpleClient(**OPTIONS)
    say("READY")
    await do(simple.connect(URL, wait_timeout=100))


async def tries():
    """Waits until there is a server."""
    client.on("connect_error", lambda *args: say("READY"))
    await do(client.connect(URL, wait_timeout=100, retry=True))


async def blocks():
    """Has a handler that does not return."""

    def number(value):
        say("READY")
        time.sleep(100)

    client.on("number", number)
    await connect()
    await do(client.emit("burst", 1))
    await do(client.wait())


async def blocks_in_main():
    """Sleeps, and with asyncio so does the loop."""
    await connect()
    say("READY")
    time.sleep(100)


async def with_a_handler():
    """Has a handler of its own for the signal."""

    def stop(number, frame):
        say("MINE")
        sys.exit(7)

    signal.signal(signal.SIGINT, stop)
    await connect()
    say("READY")
    await do(client.wait())


async def ends():
    """Ends without disconnecting."""
    await connect()
    await do(client.emit("note", "last words"))
    say("READY")


async def ends_after_disconnect():
    await connect()
    await do(client.disconnect())
    say("THREADS", sorted(thread.name for thread in threading.enumerate()))
    say("READY")


async def raises():
    await connect()
    say("READY")
    raise ValueError("expected by the test")


async def exits():
    await connect()
    say("READY")
    sys.exit(5)


async def connects_while_handlers_run():
    """Ends while events come."""
    client.on("number", lambda number: None)
    await connect()
    await do(client.emit("burst", 20_000))
    say("READY")


async def forks():
    """Was forked with the package imported: each process has a client of its own."""
    one = Client(reconnection=False)
    await connect(one)
    answer = await do(one.call("echo", os.getpid()))
    say("ECHO", answer == os.getpid())
    await do(one.disconnect())


async def forks_while_connected():
    """The child leaves the parent's connection alone, and may make its own."""
    await connect()
    child = os.fork()
    if not child:
        if not IS_ASYNC:
            one = Client(reconnection=False)
            await connect(one)
            say("ECHO", await do(one.call("echo", "child")) == "child")
            one.disconnect()
        sys.stdout.flush()
        os._exit(0)
    say("CHILD", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    say("ECHO", await do(client.call("echo", "parent")) == "parent")
    await do(client.disconnect())
    say("READY")


def run(coroutine):
    asyncio.run(coroutine) if IS_ASYNC else finish(coroutine)


def main():
    if HOW == "only_imports":
        say("THREADS", [thread.name for thread in threading.enumerate()], len(os.listdir("/proc/self/task")))
        say("READY")
    elif HOW == "forks":
        # A loop that runs does not survive it.
        child = os.fork()
        run(forks())
        if child:
            say("CHILD", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            say("READY")
    else:
        run(globals()[HOW]())


main()
