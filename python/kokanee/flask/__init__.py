"""Socket.IO for Flask: an extension with Flask-SocketIO's API, on Kokanee's engine.

    from kokanee.flask import SocketIO, emit
"""

from __future__ import annotations

from ..exceptions import ConnectionRefusedError
from ._blueprint import SocketBlueprint
from ._extension import SocketIO
from ._functions import (
    call,
    close_room,
    disconnect,
    emit,
    join_room,
    leave_room,
    participants,
    request,
    rooms,
    send,
)
from ._request import EventRequest
from .namespace import Namespace
from .test_client import SocketIOTestClient

__all__ = [
    "ConnectionRefusedError",
    "EventRequest",
    "Namespace",
    "SocketBlueprint",
    "SocketIO",
    "SocketIOTestClient",
    "call",
    "close_room",
    "disconnect",
    "emit",
    "join_room",
    "leave_room",
    "participants",
    "request",
    "rooms",
    "send",
]
