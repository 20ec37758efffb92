"""A WSGI application under the package's own host: a pool of threads, each of which answers one request at a time (PEP 3333)."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import _engine
from ._access_log import AccessLog
from ._serve_options import Options

logger = logging.getLogger("kokanee.host")

#: How long a thread waits for a request before it ends, if it is not the last.
IDLE_SECONDS = 30.0
#: How long a request waits before one more thread is started.
PATIENCE_SECONDS = 0.005
#: Bytes of a body that are read at once.
PIECE = 64 * 1024

Headers = list[tuple[str, str]]


class FileWrapper:
    """Is `wsgi.file_wrapper`: the pieces of a file."""

    def __init__(self, file: Any, block_size: int = PIECE) -> None:
        self._file = file
        self._block_size = max(block_size, PIECE)
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(self._block_size):
            yield piece


class BodyError(ConnectionResetError):
    """Says that the client has left in the middle of its request."""


class _Body(io.RawIOBase):
    """Reads the body of a request that is still arriving."""

    def __init__(self, exchange: _engine.Exchange) -> None:
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._exchange.read(len(buffer))
        except ConnectionResetError:
            raise BodyError("the client has left in the middle of the request's body") from None
        buffer[: len(piece)] = piece
        return len(piece)


class _Response:
    """Is one response: `start_response`, and what the application returns."""

    __slots__ = ("_exchange", "_headers", "_length", "_method", "_started", "reason", "sent", "status")

    def __init__(self, exchange: _engine.Exchange, method: str) -> None:
        self._exchange = exchange
        self._method = method
        self._headers: Headers = []
        self._length = -1
        self._started = False
        self.status = 0
        self.reason = ""
        self.sent = 0

    def start(
        self, status: str, headers: Headers, exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """Takes status and headers, as `start_response`."""
        if exc_info is not None:
            try:
                if self._started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status:
            raise AssertionError("start_response was called before; a second time it needs exc_info")
        code, _, reason = status.partition(" ")
        if len(code) != 3 or not code.isdigit():
            raise ValueError(f"a status begins with three digits, as '200 OK', not {status!r}")
        self.status = int(code)
        self.reason = reason
        self._headers = headers
        self._length = -1
        for name, value in headers:
            if len(name) == 14 and name.lower() == "content-length":
                self._length = int(value)
        return self.write

    @property
    def started(self) -> bool:
        """Whether anything has gone to the client."""
        return self._started

    def failed(self, status: int) -> None:
        """Takes note of the response that the client gets in place of this one."""
        self.status, self._started = status, True

    def _has_body(self) -> bool:
        return self._method != "HEAD" and self.status not in (204, 304)

    def _begin(self) -> None:
        if not self.status:
            raise AssertionError("the application has not called start_response")
        self._started = True
        self._exchange.start(self.status, self._headers, self.reason)

    def _whole(self, body: bytes) -> None:
        if not self.status:
            raise AssertionError("the application has not called start_response")
        self._started = True
        self.sent = len(body)
        self._exchange.respond(self.status, self._headers, body, self.reason)

    def write(self, data: bytes) -> None:
        """Writes a piece of the body, and waits while the client does not read."""
        if not self._started:
            if len(data) == self._length:
                self._whole(data)
                return
            self._begin()
        if data and self._has_body() and self.sent != self._length:
            self.sent += len(data)
            self._exchange.write(data)

    def send(self, result: Iterable[bytes]) -> None:
        """Sends what the application has returned."""
        if isinstance(result, (list, tuple)) and not self._started:
            body = result[0] if len(result) == 1 else b"".join(result)
            # Otherwise an engine has the request.
            if not self._exchange.is_answered():
                self._whole(body)
            return
        for piece in result:
            if piece:
                self.write(piece)
        if self._exchange.is_answered() and not self._started:
            # An engine has the request.
            return
        if not self._started:
            if self._method == "HEAD" and self._length < 0:
                self._begin()
            else:
                self._whole(b"")
        if self._has_body() and self.sent < self._length:
            logger.error("the application has sent %d of the %d bytes that it declared", self.sent, self._length)
            self._exchange.abort()
        self._exchange.end()


class WsgiHost:
    """Runs an application on threads."""

    def __init__(
        self, app: Any, host: _engine.Host, options: Options, base: dict[str, Any], log: AccessLog | None
    ) -> None:
        self._app = app
        self._host = host
        self._most = options.threads
        self._root = options.root_path
        self._base = base
        self._log = log
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def start(self) -> None:
        """Begins to answer requests."""
        self._add(1)
        threading.Thread(target=self._supervise, name="kokanee-host-supervisor", daemon=True).start()

    def join(self, seconds: float) -> None:
        """Waits until the threads have ended, after the host was closed."""
        self._closed = True
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _add(self, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._work, name="kokanee-host", daemon=True)
            # Who has the lock finds none that has not started, and may join all.
            with self._lock:
                self._threads.add(thread)
                try:
                    thread.start()
                except RuntimeError:
                    # The system gives no more threads.
                    self._threads.discard(thread)
                    return

    def _supervise(self) -> None:
        while waiting := self._host.wait_busy(PATIENCE_SECONDS):
            room = self._most - len(self._threads)
            self._add(max(min(waiting, len(self._threads), room), 0))

    def _work(self) -> None:
        following = self._host.next
        while True:
            exchange = following(IDLE_SECONDS)
            if exchange is not None:
                self._answer(exchange)
                del exchange
                continue
            with self._lock:
                if len(self._threads) > 1 or self._closed:
                    self._threads.discard(threading.current_thread())
                    return

    def _answer(self, exchange: _engine.Exchange) -> None:
        environ = exchange.environ(self._base, self._root)
        body = exchange.read_whole()
        environ["wsgi.input"] = (
            io.BytesIO(body) if body is not None else io.BufferedReader(_Body(exchange), PIECE)
        )
        environ["kokanee.exchange"] = exchange
        log = self._log
        head = log.head(environ) if log is not None else None
        response = _Response(exchange, environ["REQUEST_METHOD"])
        try:
            result = self._app(environ, response.start)
            try:
                response.send(result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
        except (BrokenPipeError, ConnectionResetError) as error:
            if not exchange.is_gone():
                self._failed(exchange, response, environ, error)
        except BaseException as error:
            # A thread of the pool goes on, whatever an application raises.
            self._failed(exchange, response, environ, error)
        if log is not None and head is not None and response.started:
            log.write(head, response.status, response.sent)

    def _failed(
        self,
        exchange: _engine.Exchange,
        response: _Response,
        environ: dict[str, Any],
        error: BaseException,
    ) -> None:
        """Answers a request whose application has raised."""
        if response.started or exchange.is_answered():
            exchange.abort()
        else:
            status = 500
            if isinstance(error, _engine.RequestTooLarge):
                status = 413
            elif isinstance(error, TimeoutError) and not isinstance(environ["wsgi.input"], io.BytesIO):
                status = 408
            elif isinstance(error, (BodyError, _engine.RequestMalformed)):
                status = 400
            response.failed(status)
            reasons = {413: "Content Too Large", 408: "Request Timeout", 400: "Bad Request"}
            reason = reasons.get(status, "Internal Server Error")
            headers = [("Content-Type", "text/plain")]
            try:
                exchange.respond(status, headers, reason.encode())
            except (BrokenPipeError, RuntimeError):
                pass
            if status != 500:
                return
        logger.error(
            "the application failed for %s %s",
            environ["REQUEST_METHOD"],
            environ.get("PATH_INFO"),
            exc_info=(type(error), error, error.__traceback__),
        )


def base_environ(options: Options, name: tuple[str, int | None], multiprocess: bool) -> dict[str, Any]:
    """Returns what is the same in every environ."""
    host, port = name
    # The name of a Unix socket is that which the client asks for: the engine adds it.
    names = {} if port is None else {"SERVER_NAME": host, "SERVER_PORT": str(port)}
    return {
        **names,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "SERVER_SOFTWARE": f"kokanee/{_engine.__version__}",
        "SCRIPT_NAME": options.root_path,
        "REMOTE_ADDR": "",
    }
