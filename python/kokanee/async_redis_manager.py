"""`AsyncRedisManager`: exists by name; see `_backends.py`."""

from __future__ import annotations

from ._backends import Backend
from .async_pubsub_manager import AsyncPubSubManager


class AsyncRedisManager(Backend, AsyncPubSubManager):
    """Would connect servers by Redis; refuses to be made until that exists."""

    queue = "Redis"
