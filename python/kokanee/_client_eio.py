"""`client.eio`: the connection below the namespaces of a client, as applications look at it. The engine has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base_client import BaseClient


class ClientEIO:
    """Shows the connection of a client."""

    def __init__(self, client: BaseClient) -> None:
        self._client = client

    @property
    def sid(self) -> str | None:
        """Returns the id of the connection."""
        engine = self._client._engine
        sid: str | None = engine.session_id() if engine is not None else None
        return sid

    @property
    def state(self) -> str:
        """Returns `"connected"` or `"disconnected"`."""
        return "connected" if self.current_transport is not None else "disconnected"

    @property
    def current_transport(self) -> str | None:
        """Returns the transport of the connection."""
        return self._client.transport()

    def transport(self) -> str | None:
        """Returns the transport of the connection."""
        return self._client.transport()

    @property
    def http(self) -> Any:
        """Returns the session of `http_session`."""
        return self._client._http_session()

    @property
    def logger(self) -> Any:
        """Returns the logger of the connection."""
        from . import base_client

        return getattr(self._client, "_eio_logger", base_client.engine_logger)

    def is_asyncio_based(self) -> bool:
        """Returns whether the client is an `AsyncClient`."""
        return self._client.is_asyncio_based()

    def disconnect(self, abort: bool = False, reason: Any = None) -> Any:
        """Disconnects the client."""
        disconnect: Any = getattr(self._client, "disconnect")  # noqa: B009
        return disconnect()

    def __getattr__(self, name: str) -> Any:
        # What else there is of background tasks and waits is the client's.
        if name in ("start_background_task", "sleep", "wait"):
            return getattr(self._client, name)
        if name == "create_event":
            return getattr(self._client, "_create_event")  # noqa: B009
        raise AttributeError(f"the connection of a Kokanee client has no {name!r}")
