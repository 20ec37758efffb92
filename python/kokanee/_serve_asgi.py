"""An ASGI application under the package's own host: its lifespan, and each request or WebSocket as a task of the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any

from . import _engine
from ._access_log import AccessLog
from ._serve_options import Options, StartError

logger = logging.getLogger("kokanee.host")

#: Requests that are taken in one turn of the loop.
BATCH = 256
#: Bytes of a body that are read at once.
PIECE = 64 * 1024

Message = dict[str, Any]


class _Waiting:
    """Waits until the engine says that something has changed."""

    def __init__(self, host: AsgiHost, id: int) -> None:
        self._host = host
        self._id = id
        self._futures: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """Ends all waits."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)
        self._futures.clear()

    async def wait(self) -> None:
        """Waits. Whatever is waited for is asked for again then, as others may wait, too."""
        self._host.waiting[self._id] = self
        future = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        try:
            await future
        finally:
            # Also if what waits was cancelled.
            self._futures.discard(future)

    def forget(self) -> None:
        """Ends the part of this request."""
        self._host.waiting.pop(self._id, None)


class _Http(_Waiting):
    """Is a request: `receive` and `send` of ASGI."""

    def __init__(self, host: AsgiHost, exchange: _engine.Exchange) -> None:
        super().__init__(host, exchange.id)
        self._exchange = exchange
        self._read = False
        self._start: Message | None = None
        self.begun = False
        self.complete = False
        #: The body was malformed, or its client has left.
        self.broken = False
        self._is_refused = False
        self.status = 0
        self.sent = 0

    async def receive(self) -> Message:
        """Returns the next piece of the body; after its end, waits until the client has left or has the response."""
        exchange = self._exchange
        if not self._read and not self.complete:
            whole = exchange.read_whole()
            if whole is not None:
                self._read = True
                return {"type": "http.request", "body": whole, "more_body": False}
            try:
                while (piece := exchange.try_read(PIECE)) is None:
                    await self.wait()
            except _engine.RequestMalformed:
                # Whatever the application makes of it, the client learns why.
                self._read = self.broken = True
                self._refuse()
                return {"type": "http.disconnect"}
            except ConnectionResetError:
                self._read = self.broken = True
                return {"type": "http.disconnect"}
            self._read = not piece
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}
        while not self.complete and not exchange.is_gone(arm=True):
            await self.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Takes the response."""
        if self._is_refused:
            raise BrokenPipeError("the request's body is malformed")
        kind = message["type"]
        if kind == "http.response.start":
            if self._start is not None:
                raise RuntimeError("the response was started before")
            self._start = message
            self.status = message["status"]
            return
        if kind != "http.response.body":
            raise RuntimeError(f"a request does not take the message {kind!r}")
        if self._start is None:
            raise RuntimeError("http.response.start comes first")
        if self.complete:
            raise RuntimeError("the response is complete")
        await self._send_body(message.get("body", b""), message.get("more_body", False))

    async def _send_body(self, body: Any, more: bool) -> None:
        exchange, start = self._exchange, self._start
        assert start is not None
        if type(body) is not bytes:
            body = bytes(body)
        if not self.begun:
            self.begun = True
            headers = start.get("headers", ())
            if not more:
                self._completed(len(body))
                exchange.respond(start["status"], headers, body)
                return
            exchange.start(start["status"], headers)
        if body:
            self.sent += len(body)
            if not exchange.try_write(body):
                while not exchange.has_room():
                    await self.wait()
        if not more:
            exchange.end()
            self._completed(0)

    def _refuse(self) -> None:
        """Answers a malformed request in place of the application, unless that has begun to."""
        if self.begun:
            return
        self.begun = self._is_refused = True
        self.status = 400
        self._completed(0)
        try:
            self._exchange.respond(400, [(b"content-type", b"text/plain")], b"Bad Request")
        except BrokenPipeError:
            pass

    def _completed(self, size: int) -> None:
        self.sent += size
        self.complete = True
        self.wake()


class _WebSocket(_Waiting):
    """Is a WebSocket: `receive` and `send` of ASGI."""

    def __init__(self, host: AsgiHost, exchange: _engine.Exchange) -> None:
        super().__init__(host, exchange.id)
        self._exchange = exchange
        self._connect = True
        self._opened: _engine.HostWebSocket | None = None
        self._most_bytes = host.options.max_request_size
        self._denial: Message | None = None
        self._denial_body = b""
        self._closed = False
        self.status = 0

    async def receive(self) -> Message:
        """Returns the next message of the client."""
        if self._connect:
            self._connect = False
            return {"type": "websocket.connect"}
        while self._opened is None:
            if self._closed or self._exchange.is_gone(arm=True):
                return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
            await self.wait()
        while (message := self._opened.receive()) is None:
            await self.wait()
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        if isinstance(message, bytes):
            return {"type": "websocket.receive", "bytes": message}
        self._closed = True
        code, reason = message
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    async def send(self, message: Message) -> None:
        """Takes the answer to the handshake, and messages for the client."""
        kind = message["type"]
        if self._opened is not None:
            await self._send(kind, message)
        elif self._closed:
            raise RuntimeError(f"the WebSocket was refused: it does not take the message {kind!r}")
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._refuse(403, [(b"content-type", b"text/plain")], b"Forbidden")
        elif kind == "websocket.http.response.start":
            self._denial = message
        elif kind == "websocket.http.response.body" and self._denial is not None:
            self._denial_body += message.get("body", b"")
            if not message.get("more_body", False):
                headers = self._denial.get("headers", ())
                self._refuse(self._denial["status"], headers, self._denial_body)
        else:
            raise RuntimeError(f"a WebSocket that was not accepted does not take the message {kind!r}")

    def _accept(self, message: Message) -> None:
        accepted = self._exchange.accept_websocket(
            message.get("headers") or (), message.get("subprotocol"), self._most_bytes
        )
        if isinstance(accepted, int):
            # The client's handshake is not one, or of a version that nobody speaks.
            self._closed = True
            self.status = accepted
        else:
            self._opened = accepted
            self.status = 101
        self.wake()

    def _refuse(self, status: int, headers: Any, body: bytes) -> None:
        self._closed = True
        self.status = status
        self._exchange.respond(status, headers, body)
        self.wake()

    async def _send(self, kind: str, message: Message) -> None:
        opened = self._opened
        assert opened is not None
        if kind == "websocket.close":
            opened.close(message.get("code") or 1000, message.get("reason") or "")
            return
        if kind != "websocket.send":
            raise RuntimeError(f"an open WebSocket does not take the message {kind!r}")
        data = message.get("bytes")
        room = opened.send(data if data is not None else message["text"])
        if room is None:
            raise BrokenPipeError("the WebSocket is closed")
        while not room:
            await self.wait()
            room = opened.has_room()

    def finish(self, failed: bool) -> None:
        """Ends what the application has left open."""
        if self._opened is not None:
            self._opened.close(1011 if failed else 1000)
        elif not self._closed and not self._exchange.is_answered():
            self._refuse(500 if failed else 403, [], b"")


class Lifespan:
    """Tells an application that the host starts and ends."""

    def __init__(self, app: Any, mode: str) -> None:
        self._app = app
        self._mode = mode
        self.state: dict[str, Any] = {}
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises `StartError` if the application cannot start."""
        if self._mode != "off":
            self._task = asyncio.create_task(self._run())
            await self._tell("startup")

    async def shutdown(self, seconds: float) -> None:
        """Has the application end, within so many seconds."""
        if self._task is not None and not self._task.done():
            await self._tell("shutdown", seconds)
            await asyncio.wait([self._task], timeout=1)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._queue.get, self._send)

    async def _send(self, message: Message) -> None:
        phase = message["type"].split(".")[1]
        answer = self._answers.get(phase)
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def _tell(self, phase: str, seconds: float | None = None) -> None:
        assert self._task is not None
        answer = self._answers[phase] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait({"type": f"lifespan.{phase}"})
        done, _ = await asyncio.wait(
            [self._task, answer], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            logger.error("the application has not answered lifespan.%s in time", phase)
            self._task.cancel()
            return
        if answer.done():
            message = answer.result()
            if message["type"].endswith(".failed"):
                text = message.get("message") or "the application says so"
                if phase == "startup":
                    raise StartError(f"the application has not started: {text}", 3)
                logger.error("the application has not ended well: %s", text)
            return
        error = None if self._task.cancelled() else self._task.exception()
        if error is None:
            return
        if phase == "startup" and self._mode == "auto" and not self.state:
            # It does not know these events, as it may.
            logger.debug("the application takes no lifespan events", exc_info=error)
            return
        logger.error("the application failed at %s", phase, exc_info=error)
        if phase == "startup":
            raise StartError("the application has not started", 3)


class AsgiHost:
    """Runs an application on the running event loop."""

    def __init__(
        self, app: Any, host: _engine.Host, options: Options, base: dict[str, Any], log: AccessLog | None
    ) -> None:
        self._app = app
        self._host = host
        self.options = options
        self._base = base
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        #: Who waits for something of a request, by its id.
        self.waiting: dict[int, _Waiting] = {}

    def start(self) -> None:
        """Begins to answer requests."""
        descriptor = self._host.fileno()
        # Requests have a context of their own each.
        contextvars.Context().run(self._loop.add_reader, descriptor, self._readable)

    async def join(self, seconds: float) -> None:
        """Cancels what still runs, and waits for it."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._loop.remove_reader(self._host.fileno())

    def _readable(self) -> None:
        for item in self._host.drain(BATCH):
            if isinstance(item, int):
                waiting = self.waiting.get(item)
                if waiting is not None:
                    waiting.wake()
            else:
                task = self._loop.create_task(self._answer(item))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: _engine.Exchange) -> None:
        scope = exchange.scope(self._base, self.options.root_path)
        scope["state"] = self._base["state"].copy()
        scope["extensions"] = {"kokanee.exchange": exchange, "websocket.http.response": {}}
        log = self._log
        head = log.head_of_scope(scope) if log is not None else None
        is_websocket = exchange.is_websocket
        part: Any = _WebSocket(self, exchange) if is_websocket else _Http(self, exchange)
        try:
            await self._app(scope, part.receive, part.send)
        except asyncio.CancelledError:
            self._finish(exchange, part, is_websocket, True)
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # An event loop would end with the latter two.
            status = self._finish(exchange, part, is_websocket, True, error)
            if _is_about_leaving(error):
                logger.debug("the client of %s has left", scope["path"])
            elif status == 500:
                logger.exception("the application failed for %s", scope["path"])
        else:
            self._finish(exchange, part, is_websocket, False)
        finally:
            part.forget()
        if log is not None and head is not None and part.status:
            log.write(head, part.status, getattr(part, "sent", 0))

    def _finish(
        self,
        exchange: _engine.Exchange,
        part: Any,
        is_websocket: bool,
        failed: bool,
        error: BaseException | None = None,
    ) -> int:
        """Ends a response that the application has not ended, and returns the status that tells why."""
        if is_websocket:
            if failed or not exchange.is_answered() or part.status == 101:
                part.finish(failed)
            return 500
        if part.complete or (exchange.is_answered() and not part.begun):
            # The response is there, or an engine has the request.
            return 400 if part.broken else 500
        if part.begun:
            if not failed:
                logger.error("the application has returned before the end of its response")
            exchange.abort()
            return 500
        status = 500
        if isinstance(error, _engine.RequestTooLarge):
            status = 413
        elif isinstance(error, TimeoutError) and exchange.read_whole() is None:
            status = 408
        elif part.broken:
            status = 400
        if not failed and status == 500:
            logger.error("the application has returned without a response")
        part.status = status
        texts = {413: b"Content Too Large", 408: b"Request Timeout", 400: b"Bad Request"}
        headers = [(b"content-type", b"text/plain")]
        try:
            exchange.respond(status, headers, texts.get(status, b"Internal Server Error"))
        except BrokenPipeError:
            pass
        return status


def _is_about_leaving(error: BaseException | None) -> bool:
    """Returns whether an exception only says that the client has left."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__ or error.__context__
    return False


def base_scope(options: Options, name: tuple[str, int | None], state: dict[str, Any]) -> dict[str, Any]:
    """Returns what is the same in every scope."""
    return {
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "server": name,
        "root_path": options.root_path,
        "state": state,
    }
