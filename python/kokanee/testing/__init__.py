"""A test kit: clients in the same process without a port, and virtual time."""

from __future__ import annotations

from ._async_client import AsyncTestClient
from ._client import TestClient
from ._clock import Clock, virtual_time
from ._core import ANY
from ._events import ConnectionRefused, Event, RequestRefused
from ._live import LiveServer

__all__ = [
    "ANY",
    "AsyncTestClient",
    "Clock",
    "ConnectionRefused",
    "Event",
    "LiveServer",
    "RequestRefused",
    "TestClient",
    "virtual_time",
]
