"""A server that gets SIGTERM while its main thread begins to wait, within the functions of `threading` if it is in one."""

import os
import signal
import sys
import threading

import kokanee


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]


def trace(frame, event, arg):
    callers = []
    while frame is not None and len(callers) < 3:
        callers.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    # Two calls deep in it, the lock of an event is held.
    waits = [(threading.__file__, "wait")] * 2
    if callers[:2] == waits and callers[2][0].endswith("_run.py"):
        sys.settrace(None)
        signal.raise_signal(signal.SIGTERM)


# If it waits in another way, the signal comes from outside.
threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
sys.settrace(trace)
kokanee.run(app, port=int(os.environ["PORT"]))
print("ENDED", flush=True)
