"""Clients with serializers of their own: `python client_serializers.py URL HOW`. Prints what came of it. See client_kind.py."""

import importlib
import json
import sys

from client_kind import PACKAGE, Client, do, main, show, until

URL, HOW = sys.argv[1], sys.argv[2]
packet = importlib.import_module(f"{PACKAGE}.packet")
counts = {"dumps": 0, "loads": 0, "encode": 0, "decode": 0}
VALUES = [None, True, 1, 1.5, "ä🐟", [1, [2]], {"a": {"b": None}}, b"\x00\xff", [b"1", {"x": b"2"}], 2**40]


class Json:
    """Is a module for JSON that counts."""

    @staticmethod
    def dumps(*args, **options):
        counts["dumps"] += 1
        return json.dumps(*args, **options)

    @staticmethod
    def loads(*args, **options):
        counts["loads"] += 1
        return json.loads(*args, **options)


class Packet(packet.Packet):
    """Is a serializer that counts."""

    def encode(self):
        counts["encode"] += 1
        return super().encode()

    def decode(self, encoded_packet):
        counts["decode"] += 1
        return super().decode(encoded_packet)


OPTIONS = {"msgpack": {"serializer": "msgpack"}, "json": {"json": Json}, "class": {"serializer": Packet}}[HOW]


async def everything():
    seen = {}
    client = Client(reconnection=False, handle_sigint=False, **OPTIONS)
    said, answered = [], []
    client.on("said", lambda *args: said.append(show(list(args))))
    client.on("answered", lambda *args: answered.append(show(list(args))))
    client.on("question", lambda *args: ("answer", {"b": b"1"}, len(args)))
    await do(
        client.connect(URL, auth={"token": "ä"}, namespaces=["/", "/chat"], transports=["websocket"], wait_timeout=20)
    )
    seen["echo"] = [show(await do(client.call("echo", value))) for value in VALUES]
    await do(client.emit("say", (1, b"2", {"x": [b"3"]})))
    await until(lambda: said)
    await do(client.emit("ask", ("question", b"4"), namespace="/"))
    await until(lambda: answered)
    seen["events"] = [said, answered, show(await do(client.call("echo", (1, b"2"), namespace="/chat")))]
    await do(client.emit("kick"))
    await until(lambda: "/" not in client.namespaces)
    await do(client.disconnect())
    refused = Client(reconnection=False, handle_sigint=False, **OPTIONS)
    errors = []
    refused.on("connect_error", lambda *args: errors.append(show(list(args))))
    try:
        await do(refused.connect(URL, auth={"refuse": "data"}, transports=["websocket"], wait_timeout=20))
    except Exception as error:
        seen["refused"] = [type(error).__name__, str(error)]
    await until(lambda: errors)
    await do(refused.disconnect())
    print(
        json.dumps({"seen": {**seen, "errors": errors}, "used": [name for name, count in counts.items() if count > 5]})
    )


main(everything())
