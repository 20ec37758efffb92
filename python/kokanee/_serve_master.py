"""Several processes that serve one socket, and one that starts anew when a file changes.

The master binds the socket, and forks each worker before it has a thread: it loads no application that it was not given, and
starts no engine. A worker that ends is replaced, after a pause that grows while they do not live long.

| signal | does |
|---|---|
| TERM, INT | ends the workers gracefully; a second INT at once |
| HUP | replaces the workers, one after the other |
| TTIN, TTOU | one worker more, one less |
"""

from __future__ import annotations

import logging
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from . import _lifecycle, _run, _serve_options, _workers
from ._serve_options import ListenError, Options, StartError, report

logger = logging.getLogger("kokanee.host")

#: The descriptor of the socket, for a program that is run anew.
SOCKET = "KOKANEE_SOCKET"

#: The exit code of a worker that wants to be started anew.
RELOAD = 64
#: The exit code that Python gives a program whose exception nobody has caught.
FAILED = 1
#: How often files are looked at, in seconds.
LOOK = 0.3
#: Files and folders below a program's own that are looked at, about at most, for what a program that does not start needs.
MOST_FILES = 10_000
#: A worker that ends sooner is replaced after a pause.
SHORT_LIFE = 5.0
LONGEST_PAUSE = 10.0


def serve(app: Any, options: Options) -> int:
    """Serves an application in several processes, or in one that is started anew; returns the exit code."""
    inherited = os.environ.pop(SOCKET, None)
    if inherited is not None and options.reload:
        # This is the program that was run anew.
        with socket.socket(fileno=int(inherited)) as listener:
            return _serve_and_watch(app, options, [listener], None)
    if _lifecycle.is_running() or threading.active_count() > 1:
        raise StartError("workers and reload must be started before any thread of this process")
    sockets = _run.bind(options)
    try:
        return Master(app, options, sockets).run()
    finally:
        _run.unbind(options, sockets)


class _Child:
    """Is a worker of the master: a process that was forked, or a program that was run."""

    def __init__(self, pid: int, ready: int) -> None:
        self.pid = pid
        #: The end of a pipe that is readable when the worker serves.
        self.ready = ready
        self.serves = False
        self.began = time.monotonic()
        self.began_at = time.time()
        self.leaves = False
        #: It leaves when another one serves.
        self.is_outdated = False

    def signal(self, number: int) -> None:
        """Sends a signal."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass


class Master:
    """Starts workers, replaces those that end, and ends all."""

    def __init__(self, app: Any, options: Options, sockets: list[socket.socket]) -> None:
        self._app = app
        self._options = options
        self._sockets = sockets
        self._wanted = options.workers
        self._group = secrets.token_hex(8)
        self._children: dict[int, _Child] = {}
        self._signals: list[int] = []
        self._pause = 0.0
        self._start_at = 0.0
        self._failed: int | None = None
        #: What starts the program anew after it has failed.
        self._awaited: _Changes | None = None
        self._stopping = 0.0
        self._wake = os.pipe()
        for end in self._wake:
            os.set_blocking(end, False)

    def run(self) -> int:
        """Serves until a signal, and returns the exit code."""
        numbers = (
            *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
            *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD),
        )
        before = {number: signal.signal(number, self._caught) for number in numbers}
        woken = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        try:
            self._fill()
            while self._children or not self._stopping:
                self._turn()
            return self._failed or 0
        finally:
            for child in self._children.values():
                child.signal(signal.SIGKILL)
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in self._wake:
                os.close(end)

    def _caught(self, number: int, frame: Any) -> None:
        self._signals.append(number)

    def _turn(self) -> None:
        """Waits for something to happen, and handles it."""
        pipes = [child.ready for child in self._children.values() if not child.serves]
        readable, _, _ = select.select([self._wake[0], *pipes], [], [], self._patience())
        if self._wake[0] in readable:
            try:
                os.read(self._wake[0], 4096)
            except BlockingIOError:
                pass
        for child in self._children.values():
            if not child.serves and child.ready in readable and os.read(child.ready, 1):
                self._served(child)
        while self._signals:
            self._handle(self._signals.pop(0))
        self._reap()
        if self._stopping and time.monotonic() > self._stopping:
            for child in self._children.values():
                child.signal(signal.SIGKILL)
        self._fill()

    def _patience(self) -> float | None:
        now = time.monotonic()
        times = [at - now for at in (self._start_at, self._stopping) if at > now]
        if self._awaited is not None:
            times.append(LOOK)
        return min(times) if times else 1.0

    def _served(self, child: _Child) -> None:
        child.serves = True
        logger.info("worker %d serves on %s", child.pid, self._options.url)

    def _handle(self, number: int) -> None:
        if number == signal.SIGINT and self._stopping:
            for child in self._children.values():
                child.signal(signal.SIGKILL)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP:
            self._replace()
        elif number == signal.SIGTTIN:
            self._wanted += 1
        elif number == signal.SIGTTOU:
            self._wanted = max(self._wanted - 1, 1)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = time.monotonic() + self._options.graceful_timeout + 5
            for child in self._children.values():
                self._dismiss(child)

    def _dismiss(self, child: _Child) -> None:
        child.leaves = True
        child.signal(signal.SIGTERM)

    def _staying(self) -> list[_Child]:
        return [child for child in self._children.values() if not child.leaves]

    def _replace(self) -> None:
        """Has the workers replaced: each leaves when one more serves."""
        self._awaited = None
        for child in self._staying():
            if child.serves:
                child.is_outdated = True
            else:
                self._dismiss(child)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            os.close(child.ready)
            if not child.leaves:
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: _Child, code: int) -> None:
        """Decides what follows the end of a worker that was not asked to end."""
        if self._options.reload and code in (RELOAD, -signal.SIGTERM):
            return
        if self._options.reload and code == FAILED and self._runs_program:
            print("kokanee: waiting for a change", file=sys.stderr)
            self._awaited = _Changes(lambda: _files() | _files_below(_program_folder()), child.began_at)
            return
        if not child.serves and any(other.is_outdated for other in self._staying()):
            logger.error("the new worker does not start; the old ones go on")
            for other in self._staying():
                other.is_outdated = False
            return
        is_first = not any(other.serves for other in self._children.values())
        if self._options.reload or (is_first and not child.serves):
            # The application cannot start, and would not the next time either; or it has ended by itself.
            self._failed = code if code >= 0 else 128 - code
            self._stop()
            return
        lived = time.monotonic() - child.began
        self._pause = min(max(self._pause * 2, 0.5), LONGEST_PAUSE) if lived < SHORT_LIFE else 0.0
        self._start_at = time.monotonic() + self._pause
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        logger.error("worker %d has ended with %s; another one follows", child.pid, how)

    def _fill(self) -> None:
        """Starts workers that are missing, one more while some are outdated, and dismisses those that are too many."""
        if self._awaited is not None and self._awaited.look() is not None:
            self._awaited = None
        while self._awaited is None and not self._stopping:
            staying = self._staying()
            outdated = [child for child in staying if child.is_outdated]
            if len(staying) < self._wanted + bool(outdated) and time.monotonic() >= self._start_at:
                self._start()
            elif len(staying) > self._wanted and (
                not outdated or all(child.serves for child in staying if not child.is_outdated)
            ):
                self._dismiss((outdated or staying)[0])
            else:
                return

    def _start(self) -> _Child:
        reader, writer = os.pipe()
        if self._runs_program:
            child = _Child(self._run_program(writer), reader)
        else:
            child = _Child(self._fork(reader, writer), reader)
        os.close(writer)
        self._children[child.pid] = child
        return child

    @property
    def _runs_program(self) -> bool:
        """Whether a worker is this program, run anew, as the application cannot be loaded by its name."""
        return self._options.reload and not isinstance(self._app, str)

    def _run_program(self, ready: int) -> int:
        """Runs this program anew: it comes to the same call, and serves there."""
        descriptor = self._sockets[0].fileno()
        environment = {**os.environ, SOCKET: str(descriptor)}
        command = [sys.executable, *sys.orig_argv[1:]]
        process = subprocess.Popen(command, env=environment, pass_fds=(descriptor,))
        # The master waits for it as for all others.
        process.returncode = 0
        os.write(ready, b"1")
        return process.pid

    def _fork(self, reader: int, writer: int) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        master = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
                signal.signal(number, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            for end in (*self._wake, reader, *(child.ready for child in self._children.values())):
                os.close(end)
            _workers.belong_to(self._group)
            code = self._serve_as_worker(writer, master)
        except SystemExit as error:
            code = _run.code_of(error)
        except BaseException:
            traceback.print_exc()
        finally:
            _end(code)
        return 0

    def _serve_as_worker(self, ready: int, master: int) -> int:
        def serves() -> None:
            nonlocal ready
            if ready >= 0:
                os.write(ready, b"1")
                os.close(ready)
                ready = -1

        options = self._options
        try:
            if options.reload:
                return _serve_and_watch(self._app, options, self._sockets, (serves, master))
            return _run.Worker(self._app, options, serves, master).serve(self._sockets)
        except (StartError, ListenError) as error:
            return report(error)


def _end(code: int) -> None:
    """Ends a worker as Python ends a program, as far as the caller's part must not be run in it."""
    import atexit

    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


# Starting anew when a file changes.


def _serve_and_watch(
    app: Any, options: Options, sockets: list[socket.socket], worker: tuple[Any, int] | None
) -> int:
    """Serves until a file of the program changes or a signal comes. An application that fails waits for a change, too."""
    changed = threading.Event()
    watcher = threading.Thread(target=_watch, args=(changed,), name="kokanee-reload", daemon=True)
    watcher.start()
    ready, master = worker or (None, os.getppid())
    try:
        code = _run.Worker(app, options, ready, master).serve(sockets)
        return RELOAD if changed.is_set() else code
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if isinstance(error, StartError):
            print(f"kokanee: {error}", file=sys.stderr)
            if error.__cause__ is not None:
                traceback.print_exception(error.__cause__)
        else:
            traceback.print_exc()
        print("kokanee: waiting for a change", file=sys.stderr)
        if ready is not None:
            ready()
        _extra.update(_files_of(error))
        changed.wait()
        return RELOAD


#: Files of modules that could not be imported.
_extra: set[str] = set()


def _files_of(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            yield error.filename
        if isinstance(error, ModuleNotFoundError) and error.name:
            # Where it may be made.
            for folder in sys.path:
                path = os.path.join(folder or os.getcwd(), *error.name.split("."))
                yield from (f"{path}.py", os.path.join(path, "__init__.py"))
        frame = error.__traceback__
        while frame is not None:
            yield frame.tb_frame.f_code.co_filename
            frame = frame.tb_next
        error = error.__cause__ or error.__context__


def _files() -> set[str]:
    """Returns the files of the program, without those of Python and of installed packages."""
    files = set(_extra)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            files.add(file)
    own = {os.path.dirname(os.__file__), os.path.dirname(__file__)}
    return {
        file
        for file in files
        if "site-packages" not in file and not any(file.startswith(folder + os.sep) for folder in own)
    }


def _program_folder() -> str:
    """Returns the folder of the program that runs."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if file else os.getcwd()


def _files_below(folder: str) -> set[str]:
    """Returns the files of Python in a folder and below, without those of environments and hidden folders."""
    files: set[str] = set()
    seen = 0
    for path, folders, names in os.walk(folder):
        seen += len(folders) + len(names)
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__", "node_modules"))]
        files.update(os.path.join(path, name) for name in names if name.endswith(".py"))
        if seen >= MOST_FILES:
            break
    return files


class _Changes:
    """Finds files that change from a time on. `files` returns their names each time."""

    def __init__(self, files: Callable[[], set[str]], began: float) -> None:
        self._files = files
        self._began = began
        self._times: dict[str, float] = {}

    def look(self) -> str | None:
        """Returns the name of a file that has changed."""
        for file in self._files():
            try:
                time_of = os.stat(file).st_mtime
            except OSError:
                continue
            # One that is new here may have changed since it was imported.
            # The clock of another machine may be ahead.
            is_newer = self._began < time_of <= time.time()
            if self._times.setdefault(file, time_of) != time_of or is_newer:
                logger.info("%s has changed", os.path.relpath(file))
                return file
        return None


def _watch(changed: threading.Event) -> None:
    """Looks at the files until one changes, and ends the worker then."""
    changes = _Changes(_files, time.time())
    while changes.look() is None:
        time.sleep(LOOK)
    changed.set()
    os.kill(os.getpid(), signal.SIGTERM)
