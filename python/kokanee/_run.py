"""`kokanee.run`: an application under the package's own host.

Its listener is the engine's. Requests for Socket.IO do not enter Python if the application is a `WSGIApp` or an `ASGIApp`; all others
go to the application: of WSGI on threads, of ASGI on an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import queue
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from . import _engine, _lifecycle, _loop, _serve_options
from ._access_log import AccessLog
from ._serve_options import ListenError, Options, StartError

logger = logging.getLogger("kokanee.host")

#: How often a worker looks whether its master is still there, in seconds.
WATCH = 1.0

#: The hosts of this process that serve.
_serving: list[Worker] = []


def run(app: Any, host: str = "127.0.0.1", port: int = 5000, **options: Any) -> None:
    """Serves a WSGI or an ASGI application until SIGTERM or SIGINT; a second SIGINT ends at once.

    `app` is the application, or `"module:attribute"`. The options are those of `python -m kokanee serve`, with underscores:
    `uds`, `workers`, `threads`, `loop`, `interface`, `lifespan`, `certfile`, `keyfile`, `root_path`, `trusted_proxies`, `max_request_size`,
    `body_timeout`, `backlog`, `graceful_timeout`, `access_log`, `reload` and `factory`.

    Raises `OSError` if the address is in use, and `RuntimeError` if the application cannot be served or does not start.
    """
    try:
        code = serve(app, _serve_options.make_options({"host": host, "port": port, **options}))
    except StartError as error:
        raise (RuntimeError if error.code != 2 else ValueError)(str(error)) from error.__cause__
    if code:
        raise SystemExit(code)


def serve(app: Any, options: Options) -> int:
    """Serves an application, in this process or in several, and returns the exit code."""
    _log_to_stderr()
    if options.workers > 1 or options.reload:
        from . import _serve_master

        return _serve_master.serve(app, options)
    sockets = bind(options)
    try:
        return serve_on(app, options, sockets)
    finally:
        unbind(options, sockets)


def serve_on(app: Any, options: Options, sockets: list[socket.socket]) -> int:
    """Serves an application in this process, on sockets that listen, and returns the exit code."""
    _log_to_stderr()
    return Worker(app, options).serve(sockets)


def stop() -> bool:
    """Ends what serves in this process as SIGTERM does, on any thread; `False` if nothing does."""
    for one in list(_serving):
        one.stop()
    return bool(_serving)


def run_server(server: Any, app: Any, host: str, port: int, options: dict[str, Any]) -> None:
    """Serves a `Server` or an `AsyncServer`, beside an application."""
    from . import asgi, middleware

    kind: Any = asgi.ASGIApp if server.is_asyncio_based() else middleware.WSGIApp
    if app is None or not (isinstance(app, kind) and app_server(app) is server):
        app = kind(server, app)
    run(app, host, port, **options)


def app_server(app: Any) -> Any:
    """Returns the server of a `WSGIApp` or an `ASGIApp`."""
    return getattr(app, "engineio_server", None) or getattr(app, "engineio_app", None)


def _log_to_stderr() -> None:
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("kokanee: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


# Sockets.


def bind(options: Options) -> list[socket.socket]:
    """Returns the sockets of the address, which listen."""
    if options.uds is not None:
        return [_bind_path(options.uds, options.backlog)]
    try:
        found = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise StartError(f"there is no host {options.host!r}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(options.backlog)
    except OSError as error:
        listener.close()
        where = f"{options.host}:{options.port}"
        if isinstance(error, PermissionError):
            raise ListenError(error.errno, f"this user may not listen on {where}") from None
        raise ListenError(error.errno, f"cannot listen on {where}: {error.strerror}") from None
    return [listener]


def _bind_path(path: str, backlog: int) -> socket.socket:
    if os.path.lexists(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ListenError(errno.EEXIST, f"{path} exists and is not a socket")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                # Of a server that has not ended well.
                os.unlink(path)
            except OSError as error:
                raise ListenError(error.errno, f"{path} cannot be used: {error.strerror}") from None
            else:
                raise ListenError(errno.EADDRINUSE, f"another program listens on {path}")
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise ListenError(error.errno, f"cannot listen on {path}: {error.strerror}") from None
    return listener


def unbind(options: Options, sockets: list[socket.socket]) -> None:
    """Closes the sockets, and removes the path of one of the Unix domain."""
    for one in sockets:
        one.close()
    if options.uds is not None:
        try:
            os.unlink(options.uds)
        except FileNotFoundError:
            pass


def _name(listener: socket.socket) -> tuple[str, int | None]:
    name = listener.getsockname()
    return (name[0], name[1]) if isinstance(name, tuple) else (str(name), None)


# One process.


class Worker:
    """Serves an application in this process."""

    def __init__(
        self, app: Any, options: Options, ready: Callable[[], None] | None = None, master: int | None = None
    ) -> None:
        self._given = app
        self._options = options
        self._ready = ready
        self._master = master
        self._interrupts = 0
        #: What ends with this host: its listener, and the engine whose requests do not enter Python.
        self.owned: list[Any] = []
        self._stop: Callable[[], Any] = lambda: None

    def serve(self, sockets: list[socket.socket]) -> int:
        """Serves until a signal, and returns the exit code."""
        _serving.append(self)
        try:
            return self._serve(sockets)
        finally:
            _serving.remove(self)

    def _serve(self, sockets: list[socket.socket]) -> int:
        options = self._options
        app = self._given
        if isinstance(app, str):
            _serve_options.python_path()
            app = _serve_options.load(app, options.factory)
        app = _as_app(app)
        interface = _serve_options.interface_of(app, options.interface)
        tls = (options.certfile, options.keyfile) if options.certfile and options.keyfile else None
        try:
            host = _engine.Host(
                options.max_request_size,
                options.body_timeout,
                options.backlog,
                tls,
                list(options.trusted_proxies),
            )
        except (ValueError, OverflowError) as error:
            raise StartError(str(error), 2) from None
        log = AccessLog() if options.access_log else None
        parts = (app, host, options, log, sockets)
        if interface == "wsgi":
            return self._serve_wsgi(*parts)
        factory = _serve_options.choose_loop(options.loop)
        main = self._serve_asgi(*parts)
        if sys.version_info >= (3, 11):
            with asyncio.Runner(loop_factory=factory) as runner:
                return runner.run(main)
        loop = factory() if factory is not None else asyncio.new_event_loop()
        try:
            asyncio.set_event_loop(loop)
            return int(loop.run_until_complete(main))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def stop(self) -> None:
        """Ends as with SIGTERM; with several workers, all of them."""
        if self._master is not None:
            os.kill(self._master, signal.SIGTERM)
        else:
            self._stop()

    # What both interfaces have in common.

    def _others(self) -> list[Any]:
        """Returns what ends with other hosts of this process."""
        return [each for one in _serving if one is not self for each in one.owned]

    def _listen(self, host: _engine.Host, app: Any, sockets: list[socket.socket], base: dict[str, Any]) -> None:
        """Begins to take connections; with an engine, if the application is one of its own."""
        site = None if self._options.root_path else site_of(app)
        for listener in sockets:
            if site is None:
                _listen(host, listener.fileno())
                continue
            server, prefix = site
            try:
                server._check_host()
            except ValueError as error:
                raise StartError(str(error), 2) from None
            server._host_base = base
            server._engine_dict["trusted_proxies"] = list(self._options.trusted_proxies)
            server._prepare()
            self.owned.append(server._engine)
            was_closed = server._engine.is_closed()
            _listen(host, listener.fileno(), server._engine, prefix, _origins(server))
            server._begin(was_closed)
        url = self._options.url
        if self._options.port == 0 and self._options.uds is None:
            url = f"{url.rpartition(':')[0]}:{_name(sockets[0])[1]}"
        if self._ready is not None:
            self._ready()
        else:
            logger.info("listening on %s", url)

    def _catch(self, signals: Callable[[int, Callable[[], None]], Any]) -> None:
        if threading.current_thread() is threading.main_thread():
            signals(signal.SIGTERM, self._terminated)
            signals(signal.SIGINT, self._interrupted)

    def _terminated(self) -> None:
        self._stop()

    def _interrupted(self) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            os._exit(128 + signal.SIGINT)
        self._stop()

    def _is_orphan(self) -> bool:
        return self._master is not None and os.getppid() != self._master

    # WSGI.

    def _serve_wsgi(
        self, app: Any, host: _engine.Host, options: Options, log: AccessLog | None, sockets: list[socket.socket]
    ) -> int:
        from ._serve_wsgi import WsgiHost, base_environ

        base = base_environ(options, _name(sockets[0]), options.workers > 1)
        # Not an event: a handler of a signal runs wherever the main thread is, which may hold the lock of an event it waits for.
        stop: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stop = functools.partial(stop.put, None)
        before: dict[int, Any] = {}

        def catch(number: int, function: Callable[[], None]) -> None:
            before[number] = signal.signal(number, lambda *_: function())

        wsgi = WsgiHost(app, host, options, base, log)
        closing = _Closing(host)
        self.owned.append(closing)
        _lifecycle.started(closing, closing)
        try:
            self._catch(catch)
            wsgi.start()
            self._listen(host, app, sockets, base)
            while not self._is_orphan():
                with contextlib.suppress(queue.Empty):
                    stop.get(timeout=WATCH)
                    break
            deadline = time.monotonic() + options.graceful_timeout
            host.stop()
            host.end_connections()
            _lifecycle.close_all(min(1.0, options.graceful_timeout), self._others())
            answered = _wait_answered(host, deadline)
            host.close()
            if answered:
                wsgi.join(1.0)
        finally:
            host.stop()
            host.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    # ASGI.

    async def _serve_asgi(
        self, app: Any, host: _engine.Host, options: Options, log: AccessLog | None, sockets: list[socket.socket]
    ) -> int:
        from ._serve_asgi import AsgiHost, Lifespan, base_scope

        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        self._catch(loop.add_signal_handler)
        lifespan = Lifespan(app, options.lifespan)
        base = base_scope(options, _name(sockets[0]), lifespan.state)
        closing = _Closing(host)
        self.owned.append(closing)
        _lifecycle.started(closing, closing)
        try:
            starting = asyncio.ensure_future(lifespan.startup())
            stopped = asyncio.ensure_future(stopping.wait())
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                return 0
            starting.result()
            asgi = AsgiHost(app, host, options, base, log)
            asgi.start()
            self._listen(host, app, sockets, base)
            while not stopped.done() and not self._is_orphan():
                await asyncio.wait([stopped], timeout=WATCH if self._master is not None else None)
            deadline = time.monotonic() + options.graceful_timeout
            host.stop()
            host.end_connections()
            await _loop.stop_all()
            await loop.run_in_executor(None, _wait_answered, host, deadline)
            await asgi.join(1.0)
            await lifespan.shutdown(max(deadline - time.monotonic(), 1.0))
        finally:
            host.stop()
            host.close()
        return 0


class _Closing:
    """Closes a host when the process ends, as engines are."""

    def __init__(self, host: _engine.Host) -> None:
        self._host = host

    def leave_group(self, timeout: float) -> None:
        """Does nothing: the servers have their workers themselves."""

    def close(self, timeout: float) -> None:
        """Accepts no more connections."""
        self._host.stop()

    def join(self, seconds: float) -> None:
        """Closes the host."""
        self._host.close()


def _listen(host: _engine.Host, *parts: Any) -> None:
    try:
        host.listen(*parts)
    except OSError as error:
        # Certificate and key, for example.
        raise ListenError(error.errno or 0, str(error)) from None


def code_of(error: SystemExit) -> int:
    """Returns the exit code that Python gives a program, and prints a text that is in its place."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    # One write, as several workers may end in the same way.
    sys.stderr.write(f"{error.code}\n")
    return 1


def _wait_answered(host: _engine.Host, deadline: float) -> bool:
    """Waits until all requests are answered, with the signals of the main thread."""
    while not host.wait_answered(0.1):
        if time.monotonic() >= deadline:
            logger.warning("requests were not answered in time: %d", host.running())
            return False
    return True


def _as_app(app: Any) -> Any:
    from . import asgi, base_server, middleware

    if isinstance(app, base_server.BaseServer):
        kind: Any = asgi.ASGIApp if app.is_asyncio_based() else middleware.WSGIApp
        return kind(app)
    return app


def site_of(app: Any) -> tuple[Any, str] | None:
    """Returns the server of an application whose requests need not enter Python, and the path of its clients.

    Nothing of what happens between the host and the server may have been replaced.
    """
    from . import asgi, async_server, middleware, server

    app = _in_front_of_flask(app)
    # An application of a framework, which has taken a server in.
    app = getattr(app, "kokanee_site", app)
    known: dict[Any, tuple[Any, str]] = {
        middleware.WSGIApp: (server.Server, "engineio_app"),
        asgi.ASGIApp: (async_server.AsyncServer, "engineio_server"),
    }
    for kind, (server_kind, attribute) in known.items():
        if not isinstance(app, kind) or type(app).__call__ is not kind.__call__:
            continue
        found: Any = getattr(app, attribute, None)
        path: str | None = getattr(app, "engineio_path", None)
        if (
            isinstance(found, server_kind)
            and type(found).handle_request is server_kind.handle_request
            and "handle_request" not in vars(found)
            and path is not None
            and path != "/"
            and not callable((found._engine_dict["cookie"] or {}).get("attributes"))
        ):
            return found, path
    return None


def _in_front_of_flask(app: Any) -> Any:
    """Returns what an application of Flask gives its requests to first."""
    flask: Any = sys.modules.get("flask")
    if flask is not None and isinstance(app, flask.Flask) and type(app).__call__ is flask.Flask.__call__:
        return app.wsgi_app
    return app


def _origins(server: Any) -> list[str] | None:
    """Returns the origins whose requests Python need not see; `None` if it must see all."""
    accepted = server._options["cors_allowed_origins"]
    if callable(accepted):
        return None
    if accepted is None:
        return []
    if not accepted:
        return ["*"]
    return [accepted] if isinstance(accepted, str) else list(accepted)
