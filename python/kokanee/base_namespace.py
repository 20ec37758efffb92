"""What class-based handlers of servers and clients have in common."""

from __future__ import annotations

from typing import Any


class BaseNamespace:
    """Receives the events of one namespace: `my_event` goes to the method `on_my_event`."""

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace: str = namespace or "/"

    def is_asyncio_based(self) -> bool:
        """Returns whether methods may be coroutines."""
        return False


class BaseServerNamespace(BaseNamespace):
    """Is a namespace of a server, whose methods it has with its own name as default."""

    def __init__(self, namespace: str | None = None) -> None:
        super().__init__(namespace)
        self.server: Any = None

    def _set_server(self, server: Any) -> None:
        self.server = server

    def recovered(self, sid: str, namespace: str | None = None) -> bool:
        """Returns whether a client has come back after its connection was lost."""
        recovered: bool = self.server.recovered(sid, namespace=namespace or self.namespace)
        return recovered

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:
        """Returns the rooms of a client, its own included."""
        rooms: list[str] = self.server.rooms(sid, namespace=namespace or self.namespace)
        return rooms


class BaseClientNamespace(BaseNamespace):
    """Is a namespace of a client, whose methods it has with its own name as default."""

    def __init__(self, namespace: str | None = None) -> None:
        super().__init__(namespace)
        self.client: Any = None

    def _set_client(self, client: Any) -> None:
        self.client = client
