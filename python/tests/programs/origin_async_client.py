"""The client of the origin's listing for asyncio."""

import asyncio
import importlib
import os

socketio = importlib.import_module(os.environ["PACKAGE"])

sio = socketio.AsyncClient()


@sio.event
async def connect():
    print("connection established", flush=True)


@sio.event
async def my_message(data):
    print("message received with ", data, flush=True)
    await sio.emit("my response", {"response": "my response"})


@sio.event
async def disconnect():
    print("disconnected from server", flush=True)


async def main():
    await sio.connect(os.environ["URL"])
    await sio.wait()


asyncio.run(main())
