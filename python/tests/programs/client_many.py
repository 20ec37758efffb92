"""Many clients in a process, whose server restarts: `python client_many.py PORT COUNT`. Prints UP, then DOWN, and BACK with when they came
back, for each restart."""

import asyncio
import collections
import json
import sys
import threading
import time

import kokanee

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])


async def main():
    back = []
    down = asyncio.Semaphore(0)
    first = asyncio.Event()
    clients = []

    def client():
        one = kokanee.AsyncClient(
            reconnection_delay=1, reconnection_delay_max=2, randomization_factor=0.5, handle_sigint=False
        )

        @one.event
        async def connect():
            if first.is_set():
                back.append(time.monotonic())

        @one.event
        async def disconnect(reason):
            down.release()

        clients.append(one)
        return one

    for _ in range(0, COUNT, 50):
        await asyncio.gather(
            *(
                client().connect(f"http://127.0.0.1:{PORT}", transports=["websocket"], wait_timeout=30)
                for _ in range(50)
            )
        )
    first.set()
    print("UP", flush=True)
    while True:
        for _ in range(COUNT):
            await down.acquire()
        print("DOWN", flush=True)
        while len(back) < COUNT:
            await asyncio.sleep(0.05)
        begin = min(back)
        tenths = collections.Counter(int((moment - begin) * 10) for moment in back)
        found = {
            "clients": len(back),
            "tenths": [tenths[key] for key in sorted(tenths)],
            "threads": threading.active_count(),
        }
        back.clear()
        print("BACK", json.dumps(found), flush=True)


asyncio.run(main())
