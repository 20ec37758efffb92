"""A client before and after a fork."""

import os

import kokanee

sio = kokanee.Client()
sio.connect(os.environ["URL"])
assert sio.call("echo", "before") == "before"
child = os.fork()
if child == 0:
    assert not sio.connected
    try:
        sio.emit("echo", 1)
    except kokanee.exceptions.BadNamespaceError:
        sio.connect(os.environ["URL"])
        print(sio.call("echo", "child"), flush=True)
        sio.disconnect()
else:
    os.waitpid(child, 0)
    print(sio.call("echo", "parent"), flush=True)
    sio.disconnect()
