"""python-socketio's `AsyncClient` against `async_matrix.py`. Prints what it saw. Usage: async_matrix_client.py PORT TRANSPORT"""

import asyncio
import json
import sys

import socketio


def show(value):
    if isinstance(value, (bytes, bytearray)):
        return "bytes " + value.hex()
    if isinstance(value, (list, tuple)):
        return [show(item) for item in value]
    if isinstance(value, dict):
        return {key: show(item) for key, item in value.items()}
    return value


async def main():
    seen = {}
    refused = socketio.AsyncClient(reconnection=False)
    client = socketio.AsyncClient(reconnection=False)
    back = asyncio.get_running_loop().create_future()
    answers = asyncio.get_running_loop().create_future()

    @refused.event
    async def connect_error(data):
        seen["refused"] = data

    client.on("back", lambda *args: back.set_result(args))
    client.on("question", lambda value: value)
    client.on("silent", lambda: None)
    client.on("answers", lambda data: answers.set_result(data))
    url = f"http://127.0.0.1:{sys.argv[1]}"
    options = {"transports": [sys.argv[2]], "wait_timeout": 10}
    if sys.argv[2] == "websocket":
        # Over polling, python-socketio's server and client wait for each other here.
        try:
            await refused.connect(url, auth={"refuse": "data"}, **options)
        except socketio.exceptions.ConnectionError:
            pass
        await refused.disconnect()
    await client.connect(url, auth={"token": 1}, **options)
    seen["echo"] = show(await client.call("echo", (1, "ä🐟", [b"\x00\xff", None]), timeout=10))
    seen["back"] = show(await asyncio.wait_for(back, 10))
    seen["one"] = [show(await client.call("one", value)) for value in (0, "", [], {"a": b"b"})]
    await client.emit("ask")
    seen["answers"] = show(await asyncio.wait_for(answers, 10))
    seen["rooms"] = [await client.call("join", "red"), await client.call("leave", "red")]
    seen["large"] = len(await client.call("one", "x" * 200_000))
    seen["transport"] = await client.call("transport")
    # `disconnect` of python-engineio 4.15.1 may end the task that writes before it has written everything.
    await client._send_packet(socketio.packet.Packet(socketio.packet.DISCONNECT, namespace="/"))
    await client.eio.queue.join()
    await client.disconnect()
    print(json.dumps(seen))


asyncio.run(main())
