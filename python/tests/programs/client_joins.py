"""A connection whose namespaces are joined and left: `python client_joins.py COUNT`. Prints the kilobytes that stay of them."""

import gc
import socket
import sys

from kokanee import _engine

COUNT = int(sys.argv[1])


def join_and_leave(engine, queue, count):
    for number in range(1, count + 1):
        namespace = f"/joined/{number}"
        engine.join(namespace)
        assert engine.leave(namespace, number)
        assert not engine.leave(namespace, number)
        while (event := queue.wait_event(20)) is not None:
            if event[0] == _engine.CLIENT_DONE:
                assert event[2] == number
                break


def kilobytes():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4


# It accepts and says nothing.
with socket.create_server(("127.0.0.1", 0)) as listener:
    queue = _engine.ClientQueue()
    options = {"connect_timeout": 60.0, "retry": True, "reconnection": True}
    engine = _engine.ClientEngine(queue, 1, f"http://127.0.0.1:{listener.getsockname()[1]}", options)
    engine.join("/stays")
    join_and_leave(engine, queue, 2000)
    before = kilobytes()
    join_and_leave(engine, queue, COUNT)
    print(kilobytes() - before)
