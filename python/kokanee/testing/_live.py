"""`LiveServer`: an application on a free port of this machine, for tests with a client from elsewhere, such as a browser."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .. import _lifecycle, _run, _serve_options
from . import _stage
from ._opening import server_of

#: How long the host may take to start and to stop.
PATIENCE_SECONDS = 10.0


class _Worker(_run.Worker):
    """Is the package's own host in a process that has other servers, too."""

    def __init__(self, app: Any, options: Any, ready: Callable[[], None], server: Any) -> None:
        super().__init__(app, options, ready)
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None

    async def _serve_asgi(self, *parts: Any) -> int:
        self._loop = asyncio.get_running_loop()
        return await super()._serve_asgi(*parts)

    def end(self) -> None:
        """Ends the host, from another thread."""
        if self._loop is None:
            self._stop()
        else:
            with contextlib.suppress(RuntimeError):
                # Its loop may have ended.
                self._loop.call_soon_threadsafe(self._stop)

    def _others(self) -> list[Any]:
        own = [*self.owned, getattr(self._server, "_engine", None)]
        return [engine for engine, _ in _lifecycle._running if engine not in own]


class LiveServer:
    """Serves an application on a free port of 127.0.0.1, under the package's own host on a thread.

    `app` is whatever `kokanee.run` takes. `options` are those of `kokanee.run`.
    """

    def __init__(self, app: Any, **options: Any) -> None:
        if _stage.clock() is not None:
            raise RuntimeError("a server with a port has the time of the system, and a virtual clock is in force")
        try:
            self._server, _ = server_of(app)
        except TypeError:
            self._server = None
        self._options = _serve_options.make_options({"host": "127.0.0.1", "port": 0, "graceful_timeout": 1.0, **options})
        self._sockets: list[Any] = []
        self._ready = threading.Event()
        self._worker = _Worker(app, self._options, self._ready.set, self._server)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="kokanee-live-server", daemon=True)

    @property
    def port(self) -> int:
        """The port."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The address, as `http://127.0.0.1:PORT`."""
        scheme = "https" if self._options.certfile else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def start(self) -> LiveServer:
        """Starts the host, and returns when it listens. Raises what has kept the application from starting."""
        self._sockets = _run.bind(self._options)
        if self._server is not None:
            stage = _stage.known(self._server)
            if stage is not None:
                stage.abandon()
            _stage.live.add(self._server)
        self._thread.start()
        if not self._ready.wait(PATIENCE_SECONDS):
            self._failure = self._failure or RuntimeError("the application has not started")
        if self._failure is not None:
            self.stop()
            raise self._failure
        return self

    def _serve(self) -> None:
        try:
            self._worker.serve(self._sockets)
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    def stop(self) -> None:
        """Ends the host and its connections."""
        self._worker.end()
        self._thread.join(PATIENCE_SECONDS)
        _run.unbind(self._options, self._sockets)
        if self._server is not None:
            _stage.live.discard(self._server)

    def __enter__(self) -> LiveServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
