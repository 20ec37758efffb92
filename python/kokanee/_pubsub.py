"""What `PubSubManager` and `AsyncPubSubManager` have in common: each operation as one message that all processes hear.

An application gives the transport: it overrides `_publish`, and `_listen`, which yields messages as JSON or as dicts. The
format is that of python-socketio from 5.14 on, so processes with either package understand each other.
"""

from __future__ import annotations

import base64
import functools
import logging
import uuid
from typing import Any

from . import base_manager, packet
from ._steps import settle


class PubSub(base_manager.BaseManager):
    """Tells other processes what happens here, and does here what they tell."""

    name = "pubsub"
    has_queue = True

    def __init__(
        self,
        channel: str = "socketio",
        write_only: bool = False,
        logger: Any = None,
        json: Any = None,
    ) -> None:
        super().__init__()
        self.channel = channel
        self.write_only = write_only
        self.logger = logger
        if json is not None:
            self.json = json
        self.host_id = uuid.uuid4().hex
        self.thread: Any = None

    def initialize(self) -> None:
        """Starts to listen, except in a process that only sends."""
        super().initialize()
        if not self.write_only:
            self.thread = self.server.start_background_task(self._thread)
        self._get_logger().info("%s backend initialized.", self.name)

    def _get_logger(self) -> Any:
        if self.logger is not None:
            return self.logger
        return self.server.logger if self.server is not None else logging.getLogger("socketio")

    # What an application gives.

    def _publish(self, data: dict[str, Any]) -> Any:
        """Sends a message to all processes."""
        raise NotImplementedError("This method must be implemented in a subclass.")

    def _listen(self) -> Any:
        """Yields the messages of all processes."""
        raise NotImplementedError("This method must be implemented in a subclass.")

    def _thread(self) -> Any:
        raise NotImplementedError

    # Here, and published for the other servers.

    async def _tell(self, method: str, **parts: Any) -> None:
        await settle(self._publish({"method": method, **parts, "host_id": self.host_id}))

    async def _emit_everywhere(
        self,
        event: str,
        data: Any,
        namespace: str | None,
        room: Any,
        skip_sid: Any,
        callback: Any,
        ignore_queue: bool,
    ) -> None:
        namespace = namespace or "/"
        local = functools.partial(
            super().emit,  # type: ignore[misc]
            event,
            data,
            namespace=namespace,
            room=room,
            skip_sid=skip_sid,
        )
        if ignore_queue:
            await settle(local(callback=callback))
            return
        reference = None
        if callback is not None:
            if self.server is None:
                raise RuntimeError(
                    "Callbacks can only be issued from the context of a server."
                )
            if room is None:
                raise ValueError("Cannot use callback without a room set.")
            if isinstance(room, (list, tuple)):
                raise ValueError("Cannot use callback with several rooms.")
            id = self._generate_ack_id(room, callback)
            reference = (room, namespace, id)
            callback = functools.partial(
                self._return_callback, self.host_id, room, namespace, id
            )
        args: Any = list(data) if isinstance(data, tuple) else [data]
        binary = packet.Packet.data_is_binary(args)
        if binary:
            args, attachments = packet.Packet.deconstruct_binary(args)
            args = [args, *(base64.b64encode(each).decode() for each in attachments)]
        if self.server is not None:
            await settle(local(callback=callback))
        await self._tell(
            "emit",
            event=event,
            binary=binary,
            data=args,
            namespace=namespace,
            room=room,
            skip_sid=list(skip_sid) if isinstance(skip_sid, (tuple, set)) else skip_sid,
            callback=reference,
        )

    async def _return(self, host_id: str, sid: str, namespace: str, id: int, args: Any) -> None:
        if host_id == self.host_id:
            await settle(self.trigger_callback(sid, id, args))  # type: ignore[attr-defined]
        else:
            parts = {"sid": sid, "namespace": namespace, "id": id, "args": args}
            await settle(self._publish({"method": "callback", "host_id": host_id, **parts}))

    def _return_callback(
        self, host_id: str, sid: str, namespace: str, id: int, *args: Any
    ) -> Any:
        raise NotImplementedError

    async def _can_disconnect(self, sid: str, namespace: str) -> bool:
        if self.is_connected(sid, namespace):
            return True
        await self._tell("disconnect", sid=sid, namespace=namespace)
        return False

    async def _disconnect_anywhere(
        self, sid: str, namespace: str | None, ignore_queue: bool
    ) -> None:
        namespace = namespace or "/"
        if ignore_queue:
            self.basic_disconnect(sid, namespace)
            return
        if self.server is not None:
            await settle(
                self.server.disconnect(sid=sid, namespace=namespace, ignore_queue=True)
            )
        await self._tell("disconnect", sid=sid, namespace=namespace)

    def _is_here(self, sid: str, namespace: str) -> bool:
        return self.is_connected(sid, namespace) or self.is_pre_connected(sid, namespace)

    async def _room_anywhere(self, method: str, sid: str, namespace: str, room: Any) -> None:
        namespace = namespace or "/"
        if self._is_here(sid, namespace):
            await settle(getattr(super(), method)(sid, namespace, room))
        else:
            await self._tell(method, sid=sid, room=room, namespace=namespace)

    async def _close_everywhere(self, room: Any, namespace: str | None) -> None:
        namespace = namespace or "/"
        if self.server is not None:
            await settle(super().close_room(room, namespace))  # type: ignore[misc]
        await self._tell("close_room", room=room, namespace=namespace)

    # What other processes send.

    async def _heard(self, message: Any) -> None:
        """Does what a message says, unless it is one of this process."""
        data = message
        if not isinstance(message, dict):
            try:
                data = self.json.loads(message)
            except Exception:
                return
        if not isinstance(data, dict):
            return
        method = data.get("method")
        self._get_logger().debug("pubsub message: %s", method)
        try:
            if method == "callback":
                await settle(self._handle_callback(data))
            elif data.get("host_id") == self.host_id:
                return
            elif method in ("emit", "disconnect", "enter_room", "leave_room", "close_room"):
                await settle(getattr(self, f"_handle_{method}")(data))
        except Exception:
            self._get_logger().exception("Handler error in pubsub listening thread")

    async def _heard_emit(self, message: dict[str, Any]) -> None:
        data = message["data"]
        if message.get("binary"):
            attachments = [base64.b64decode(text) for text in data[1:]]
            data = packet.Packet.reconstruct_binary(data[0], attachments)
        if isinstance(data, list):
            data = data[0] if len(data) == 1 else tuple(data)
        callback = None
        reference = message.get("callback")
        if reference is not None and len(reference) == 3:
            # Which of the processes waits for it.
            callback = functools.partial(
                self._return_callback, str(message.get("host_id")), *reference
            )
        await settle(
            super().emit(  # type: ignore[misc]
                message["event"],
                data,
                namespace=message.get("namespace"),
                room=message.get("room"),
                skip_sid=message.get("skip_sid"),
                callback=callback,
            )
        )

    async def _heard_callback(self, message: dict[str, Any]) -> None:
        if message.get("host_id") != self.host_id:
            return
        try:
            sid, id, args = message["sid"], message["id"], message["args"]
        except KeyError:
            return
        await settle(self.trigger_callback(sid, id, args))  # type: ignore[attr-defined]

    async def _heard_disconnect(self, message: dict[str, Any]) -> None:
        await settle(
            self.server.disconnect(
                sid=message.get("sid"), namespace=message.get("namespace"), ignore_queue=True
            )
        )

    async def _heard_room(self, method: str, message: dict[str, Any]) -> None:
        sid, namespace = message["sid"], message["namespace"]
        if self._is_here(sid, namespace):
            await settle(getattr(super(), method)(sid, namespace, message["room"]))

    async def _heard_close(self, message: dict[str, Any]) -> None:
        await settle(
            super().close_room(  # type: ignore[misc]
                room=message.get("room"), namespace=message.get("namespace")
            )
        )

    def _handle_callback(self, message: dict[str, Any]) -> Any:
        raise NotImplementedError
