"""Clients for asyncio, and a simple one, whose process forks while they are connected and something waits."""

import asyncio
import os

import kokanee

URL = os.environ["URL"]


async def main():
    sio, simple = kokanee.AsyncClient(), kokanee.AsyncSimpleClient()
    await sio.connect(URL)
    await simple.connect(URL)
    waiting = asyncio.create_task(sio.call("silence", timeout=None))
    assert await sio.call("echo", 1) == 1
    child = os.fork()
    if child == 0:
        # The running loop is the parent's.
        asyncio.run(in_child(sio, simple))
        os._exit(0)
    os.waitpid(child, 0)
    assert not waiting.done()
    print(await sio.call("echo", "parent"), await simple.call("echo", "simple"), flush=True)
    waiting.cancel()
    await simple.disconnect()
    await sio.disconnect()


async def in_child(sio, simple):
    await sio.wait()
    for method in (sio.call, sio.emit, simple.call, simple.emit):
        try:
            await method("echo", 1)
        except kokanee.exceptions.SocketIOError as error:
            print(f"{type(error).__name__}: {error}", flush=True)
    await sio.connect(URL)
    print(await sio.call("echo", "child", timeout=None), flush=True)
    await sio.disconnect()


asyncio.run(main())
