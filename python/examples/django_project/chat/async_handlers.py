"""The events of the chat under ASGI: coroutines, with the asynchronous methods of models."""

from typing import Any

from asgiref.sync import sync_to_async

from kokanee import AsyncServer

from .models import Message
from .users import user_of


def register(sio: AsyncServer) -> None:
    """Adds the handlers to a server."""

    @sio.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        user = await sync_to_async(user_of)(environ)
        await sio.save_session(sid, {"name": user.get_username() or "somebody"})

    @sio.event
    async def my_message(sid: str, data: Any) -> Any:
        session = await sio.get_session(sid)
        await Message.objects.acreate(author=session["name"], text=str(data))
        await sio.emit("back", data)
        return data
