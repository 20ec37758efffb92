"""How an ASGI host's requests and WebSockets come to the engine: message by message."""

from __future__ import annotations

import asyncio
from typing import Any

Scope = dict[str, Any]


async def handle(server: Any, scope: Scope, receive: Any, send: Any) -> None:
    """Answers a request or a WebSocket of an ASGI host."""
    if scope["type"] == "websocket":
        await _websocket(server, scope, receive, send)
    elif scope["type"] == "http":
        await _http(server, scope, receive, send)


def environ_of(scope: Scope, receive: Any, send: Any) -> dict[str, Any]:
    """Returns what a connect handler gets as `environ`: the request in the form of WSGI."""
    path = scope["path"]
    query = scope.get("query_string", b"").decode("latin-1")
    client = scope.get("client") or ("", 0)
    server = scope.get("server") or ("asgi", 0)
    environ: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.async": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.url_scheme": {"ws": "http", "wss": "https"}.get(
            scope.get("scheme", "http"), scope.get("scheme", "http")
        ),
        "SERVER_SOFTWARE": "asgi",
        "REQUEST_METHOD": scope.get("method", "GET"),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if query else path,
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "asgi.scope": scope,
        "asgi.receive": receive,
        "asgi.send": send,
    }
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def _head(scope: Scope) -> tuple[str, list[tuple[str, str]], Any, bool]:
    query = scope.get("query_string", b"").decode("latin-1")
    raw = scope.get("raw_path")
    path = raw.decode("latin-1").split("?", 1)[0] if raw else scope["path"]
    target = f"{path}?{query}" if query else path
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    ]
    client = scope.get("client")
    secure = scope.get("scheme") in ("https", "wss")
    return target, headers, tuple(client[:2]) if client else None, secure


async def _http(server: Any, scope: Scope, receive: Any, send: Any) -> None:
    target, headers, address, secure = _head(scope)
    body = b""
    more = True
    limit = server._options["max_http_buffer_size"]
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if len(body) <= limit:
            body += message.get("body", b"")
        more = message.get("more_body", False)
    environ = environ_of(scope, receive, send)
    pending = server._engine.request(
        scope["method"], target, headers, body, address, secure, environ, True
    )
    reply = pending.wait(0)
    if reply is None:
        future = asyncio.get_running_loop().create_future()
        server._waiting[pending.id] = future
        reply = pending.wait(0)
        if reply is None:
            await future
            reply = pending.wait(0)
        server._waiting.pop(pending.id, None)
    status, _, headers, body = reply
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _websocket(server: Any, scope: Scope, receive: Any, send: Any) -> None:
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    target, headers, address, secure = _head(scope)
    environ = environ_of(scope, receive, send)
    channel = server._engine.websocket(target, headers, address, secure, environ)
    ready = server._channels[channel.id] = asyncio.Event()
    reading = asyncio.ensure_future(_read(channel, receive))
    try:
        while await _write(channel, send):
            await ready.wait()
            ready.clear()
    finally:
        del server._channels[channel.id]
        channel.end()
        reading.cancel()


async def _read(channel: Any, receive: Any) -> None:
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            channel.end()
            return
        text = message.get("text")
        channel.feed(text if text is not None else message.get("bytes") or b"")


async def _write(channel: Any, send: Any) -> bool:
    """Sends what the engine has for the client. `False` if that was the end."""
    for message in channel.take():
        if isinstance(message, str):
            await send({"type": "websocket.send", "text": message})
        elif isinstance(message, bytes):
            await send({"type": "websocket.send", "bytes": message})
        elif message[0] == "accept":
            headers = [(name.encode(), value.encode("latin-1")) for name, value in message[1]]
            await send({"type": "websocket.accept", "headers": headers})
        elif message[0] == "refuse":
            await send({"type": "websocket.close", "code": 1008})
            return False
        else:
            code = message[1] if message[1] != 1006 else 1011
            await send({"type": "websocket.close", "code": code})
            return False
    return True
