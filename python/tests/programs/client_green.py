"""Greenlets beside clients: `python client_green.py URL`, with `$PATCH`. Prints what came of it as a line of JSON."""

import json
import os
import sys
import threading
import time

from client_kind import Client, finish, until

URL = sys.argv[1]
ticks = []
stop = threading.Event()


def tick():
    """Runs as long as nothing blocks the hub."""
    while not stop.is_set():
        ticks.append(time.monotonic())
        time.sleep(0.01)


# Greenlets, as the process is patched.
ticker = threading.Thread(target=tick)
ticker.start()
clients = [Client(reconnection=False, handle_sigint=False) for _ in range(20)]
answers = []


def use(client, number):
    client.connect(URL, transports=["websocket"], wait_timeout=20)
    answers.append(client.call("echo", number))


users = [threading.Thread(target=use, args=[client, number]) for number, client in enumerate(clients)]
for user in users:
    user.start()
for user in users:
    user.join()
received = []
clients[0].on("number", received.append)
clients[0].emit("burst", 2000)
finish(until(lambda: len(received) == 2000))
begin = len(ticks)
try:
    # Half a second in which nothing comes.
    clients[0].call("silent", timeout=0.5)
except Exception as error:
    timed_out = type(error).__name__
between = len(ticks) - begin
leaver = threading.Timer(0.1, clients[0].disconnect)
leaver.start()
clients[0].wait()
for client in clients:
    client.disconnect()
stop.set()
ticker.join()
makers = [threading.Thread(target=lambda: clients.append(Client(handle_sigint=False))) for _ in range(100)]
for maker in makers:
    maker.start()
for maker in makers:
    maker.join()
hubs = len(sys.modules["kokanee._client_hub"]._hubs)
tasks = len(os.listdir("/proc/self/task"))
print(
    json.dumps(
        {
            "answers": sorted(answers),
            "in order": received == list(range(2000)),
            "timed out": timed_out,
            "ticks": between,
            "longest": max(later - earlier for earlier, later in zip(ticks, ticks[1:], strict=False)),
            "tasks": tasks,
            "hubs": hubs,
        }
    )
)
