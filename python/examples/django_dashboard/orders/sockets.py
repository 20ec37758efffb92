"""What open pages ask for: the board, and for those who work here to move an order on."""

from __future__ import annotations

from typing import Any

from kokanee.django import Socket, sockets

from . import models
from .models import Order


@sockets.event
def connect(socket: Socket) -> None:
    """Lets everybody watch."""
    socket.join("board")


@sockets.event
def board(socket: Socket) -> dict[str, Any]:
    """Returns all that a page shows, also when it has reconnected and may have missed something."""
    return models.board()


@sockets.event
async def move(socket: Socket, pk: int, state: str) -> dict[str, Any]:
    """Moves an order on. The signal of the model shows it on all pages."""
    user = await socket.auser()
    if not user.is_authenticated:
        return {"error": "Sign in to move orders."}
    if state not in Order.State.values:
        return {"error": f"There is no state {state!r}."}
    order = await Order.objects.filter(pk=pk).afirst()
    if order is None:
        return {"error": "This order is gone."}
    order.state = state
    await order.asave(update_fields=["state"])
    return {"moved": pk}
