"""The events of the chat under WSGI: plain functions on threads."""

from typing import Any

from django.db import close_old_connections

from kokanee import Server

from .models import Message
from .users import user_of


def register(sio: Server) -> None:
    """Adds the handlers to a server."""

    @sio.event
    def connect(sid: str, environ: dict[str, Any]) -> None:
        name = user_of(environ).get_username() or "somebody"
        sio.save_session(sid, {"name": name})

    @sio.event
    def my_message(sid: str, data: Any) -> Any:
        # Django keeps a database connection for each thread, and looks after it between requests only.
        close_old_connections()
        Message.objects.create(author=sio.get_session(sid)["name"], text=str(data))
        sio.emit("back", data)
        return data
