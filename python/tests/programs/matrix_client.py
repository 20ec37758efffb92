"""The published Python client uses what a client can, and prints what it saw: `python matrix_client.py PORT TRANSPORTS`."""

import json
import queue
import sys

import socketio

port, transports = int(sys.argv[1]), sys.argv[2].split(",")
url = f"http://127.0.0.1:{port}"
seen = {}


def show(value):
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    if isinstance(value, (list, tuple)):
        return [show(item) for item in value]
    if isinstance(value, dict):
        return {key: show(item) for key, item in value.items()}
    return value


class Events:
    """Keeps what comes, until somebody asks for it."""

    def __init__(self, client, *names):
        self.queues = {name: queue.Queue() for name in names}
        for name in names:
            client.on(name, lambda *args, name=name: self.queues[name].put(args))

    def next(self, name):
        return show(self.queues[name].get(timeout=8))


for refuse in ("false", "data", "empty", "builtin"):
    client = socketio.Client(reconnection=False)
    events = Events(client, "connect_error")
    try:
        client.connect(url, auth={"refuse": refuse}, transports=transports, wait_timeout=5)
        seen[f"refused {refuse}"] = "connected"
    except socketio.exceptions.ConnectionError as error:
        seen[f"refused {refuse}"] = [str(error), events.next("connect_error")]
    client.disconnect()

client = socketio.Client(reconnection=False)
events = Events(client, "welcome", "back", "message", "answers", "heard", "disconnect")
client.on("question", lambda value: (value, "more") if value == "two" else value)
client.on("silent", lambda: None)
client.connect(url, auth={"token": "t"}, transports=transports, namespaces=["/", "/admin", "/class"])
seen["welcome"] = events.next("welcome")
seen["echo"] = show(client.call("echo", (1, "zwei 🐟", None, [True, {"deep": 1.5}], b"\x00\xff")))
seen["back"] = events.next("back")
values = [0, "", False, None, [], {}, 'a\u2028\\"', 10**21, 2**53 + 1, b""]
seen["one"] = [show(client.call("one", (value,))) for value in values]
client.send("hello")
seen["message"] = events.next("message")
seen["anything"] = client.call("no handler for this", (1, 2))
client.emit("ask")
seen["answers"] = events.next("answers")
seen["rooms"] = [client.call("join", "red"), client.call("join", "blue"), client.call("leave", "blue")]
client.emit("shout", ("red", False))
seen["shout"] = events.next("heard")
seen["sessions"] = [client.call("remember", 1), client.call("remember", "two")]
seen["admin"] = client.call("where", namespace="/admin")
seen["class"] = show(client.call("where", 5, namespace="/class"))
seen["transport"] = client.call("transport")
client.emit("kick")
seen["kicked"] = events.next("disconnect")
# `disconnect` of python-engineio 4.15.1 may end the thread that writes before it has written everything.
for namespace in list(client.namespaces):
    client._send_packet(socketio.packet.Packet(socketio.packet.DISCONNECT, namespace=namespace))
client.eio.queue.join()
client.disconnect()
print(json.dumps(seen))
