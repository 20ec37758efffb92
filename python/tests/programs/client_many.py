"""Many clients in a process, whose server restarts: `python client_many.py PORT COUNT [FACTOR]`. Prints UP, then for each restart DOWN, and
BACK with when they tried first, in parts of the delay without chance."""

import asyncio
import json
import sys
import threading
import time

import kokanee

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])
FACTOR = float(sys.argv[3]) if len(sys.argv) > 3 else 0.5
DELAY = 2


async def main():
    back, tries, downs = [], [], []
    is_first = True

    def client():
        one = kokanee.AsyncClient(
            reconnection_delay=DELAY, reconnection_delay_max=2 * DELAY, randomization_factor=FACTOR, handle_sigint=False
        )

        @one.event
        async def connect():
            if not is_first:
                back.append(one)

        @one.event
        async def disconnect(reason):
            downs.append(time.monotonic())

        @one.on_reconnect_attempt
        def attempt(number):
            if number == 1:
                tries.append(time.monotonic())

        return one

    clients = [client() for _ in range(COUNT)]
    for start in range(0, COUNT, 50):
        url = f"http://127.0.0.1:{PORT}"
        some = clients[start : start + 50]
        await asyncio.gather(*(one.connect(url, transports=["websocket"], wait_timeout=30) for one in some))
    is_first = False
    print("UP", flush=True)
    while True:
        while len(downs) < COUNT:
            await asyncio.sleep(0.01)
        print("DOWN", flush=True)
        while len(back) < COUNT:
            await asyncio.sleep(0.05)
        # All were cut off at once.
        found = {
            "clients": len({id(one) for one in back}),
            "tries": sorted((moment - min(downs)) / DELAY for moment in tries),
            "threads": threading.active_count(),
        }
        for each in (back, tries, downs):
            each.clear()
        print("BACK", json.dumps(found), flush=True)


asyncio.run(main())
