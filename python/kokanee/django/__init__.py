"""Socket.IO in a Django project: `kokanee.django` in `INSTALLED_APPS`, handlers in the `sockets.py` of each application.

    from kokanee.django import sockets

    @sockets.event
    def say(socket, text):
        sockets.emit("said", {"by": socket.user.get_username(), "text": text})

`kokanee.django.wsgi` and `kokanee.django.asgi` make the applications that a host serves, `runserver` serves them by itself.
"""

from __future__ import annotations

from ..exceptions import ConnectionRefusedError
from ._registry import Namespace, Sockets, sockets
from ._socket import Socket
from ._view import SocketView
from .exceptions import NotServing

__all__ = ["ConnectionRefusedError", "Namespace", "NotServing", "Socket", "SocketView", "Sockets", "sockets"]
