"""What an ASGI host costs alone: an application that knows events by their first bytes and sends them back. No server of
Socket.IO is in it."""

from __future__ import annotations

from typing import Any

OPEN = '0{"sid":"floor","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers each event with its acknowledgement."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": OPEN})
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        text: str = message["text"]
        if text.startswith("42"):
            id, _, rest = text[2:].partition("[")
            text = f"43{id}[{rest.partition(',')[2]}"
        elif text.startswith("40"):
            text = '40{"sid":"floor"}'
        else:
            continue
        await send({"type": "websocket.send", "text": text})
