"""Which processes are workers of one host, and where they meet.

Workers of one host share a port, so any of them may get the requests of any client. They find each other in a folder, which only
processes of the same host know: its name is made of the host's process, the user, the server's path and its place among the
servers of the program. Nothing is made before a server is used, and nothing at all in a process that is not a worker.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import stat
import sys
import weakref
from pathlib import Path
from typing import Any

logger = logging.getLogger("socketio.server")

#: Names the group of a process, where it cannot be found out.
VARIABLE = "KOKANEE_WORKER_GROUP"

#: Hosts that start their workers with `multiprocessing`, by the module of the function that runs there.
_SPAWNING = {"uvicorn": "uvicorn", "hypercorn": "Hypercorn", "granian": "granian"}

#: The longest path of a Unix socket, and the name that a worker's has in its folder.
_MOST_BYTES = 107
_NAME_BYTES = len("/.abcdef")

#: What Linux says of a process that was forked and runs the program of its parent.
_FORKED = 0x40

#: The process that is a worker of the package's own host, and its group. Processes that it starts or forks are none.
_own: tuple[int, str] | None = None

#: All servers of this process.
servers: weakref.WeakSet[Any] = weakref.WeakSet()

#: The places of servers among those of the program.
_numbers = itertools.count()


def belong_to(group: str) -> None:
    """Makes this process a worker of the package's own host."""
    global _own
    _own = os.getpid(), group


def group_of(workers: Any) -> tuple[str | None, str]:
    """Returns what the processes of one group have in common, and how that was found out; `None`: there are no others."""
    if not workers:
        return None, "workers=False"
    if workers != "auto":
        return f"option {workers}", f"the option workers={workers!r}"
    named = os.environ.get(VARIABLE)
    if named:
        return f"named {named}", f"{VARIABLE}={named}"
    if _own is not None and _own[0] == os.getpid():
        return f"own {_own[1]}", "a worker of Kokanee's own host"
    for find in (_uwsgi, _spawned, _gunicorn):
        found = find()
        if found is not None:
            host, pid = found
            return f"{host} {pid} {_started(pid)}", f"a worker of {host}, whose process is {pid}"
    return None, "this process is not a worker of a host that can have several"


def _uwsgi() -> tuple[str, int] | None:
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or not getattr(uwsgi, "worker_id", int)():
        return None
    master = int(uwsgi.masterpid())
    return ("uWSGI", master) if master and int(uwsgi.numproc) > 1 else None


def _spawned() -> tuple[str, int] | None:
    multiprocessing = sys.modules.get("multiprocessing.process")
    parent = multiprocessing.parent_process() if multiprocessing is not None else None
    if multiprocessing is None or parent is None:
        return None
    # A program may start several hosts, each in a process of its own: those are no workers of one.
    target = getattr(multiprocessing.current_process(), "_target", None)
    host = _SPAWNING.get(str(getattr(target, "__module__", "")).partition(".")[0])
    return (host, parent.pid) if host is not None and parent.pid is not None else None


def _gunicorn() -> tuple[str, int] | None:
    if "gunicorn.arbiter" not in sys.modules:
        return None
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return None
    # The arbiter itself was not forked, unless it is a daemon. Then its parent is not an arbiter.
    fields = _stat(os.getpid())
    parent = os.getppid()
    if fields is None or parent <= 1 or not int(fields[6]) & _FORKED:
        return None
    return "Gunicorn", parent


def _stat(pid: int) -> list[str] | None:
    """Returns what Linux says of a process, from its state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _started(pid: int) -> str:
    """Returns when a process has started, as its number may be that of another one later."""
    fields = _stat(pid)
    return fields[19] if fields is not None else ""


class Meeting:
    """Finds the folder of a server's workers. The engine calls it when it starts in a process."""

    def __init__(self, options: dict[str, Any], number: int | None = None) -> None:
        self._options = options
        #: Its place among the servers of the program.
        self._number = next(_numbers) if number is None else number

    def __call__(self) -> str | None:
        """Makes the folder, and returns its path; `None` if this process is not one of several."""
        workers = self._options["workers"]
        group, reason = group_of(workers)
        if group is None:
            return None
        import hashlib

        path = self._options["path"] or "/socket.io/"
        key = hashlib.sha256(f"{group}\n{os.getuid()}\n{path}\n{self._number}".encode())
        try:
            folder = _make(workers, key.hexdigest()[:16])
        except OSError as error:
            logger.error("workers cannot find each other (%s): %s", reason, error)
            return None
        return str(folder)


def _make(workers: Any, name: str) -> Path:
    if isinstance(workers, str) and workers.startswith("/"):
        return _below(Path(workers), name)
    import tempfile

    problem: OSError | None = None
    user = f"kokanee-{os.getuid()}"
    # The temporary folder of some systems has a name that is too long for sockets.
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if not base or len(os.fsencode(f"{base}/{user}/{name}")) + _NAME_BYTES > _MOST_BYTES:
            continue
        try:
            return _below(Path(base) / user, name)
        except OSError as error:
            problem = problem or error
    raise problem or OSError("no folder for sockets")


def _below(base: Path, name: str) -> Path:
    folder = _private(base) / name
    if not folder.exists():
        _sweep(base)
    return _private(folder)


def _sweep(base: Path) -> None:
    """Removes the folders of hosts that were killed with all their workers."""
    import socket

    for folder in base.iterdir():
        if not re.fullmatch("[0-9a-f]{16}", folder.name):
            continue
        # A worker has a name when it listens.
        for worker in folder.glob("[!.]*"):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as calling:
                calling.setblocking(False)
                try:
                    calling.connect(str(worker))
                except ConnectionRefusedError:
                    worker.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()


def _private(folder: Path) -> Path:
    """Makes a folder that nobody else can enter, or checks that an existing one is such."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder that only this user can enter")
    return folder
