"""`RedisManager`: exists by name; see `_backends.py`."""

from __future__ import annotations

from ._backends import Backend
from .pubsub_manager import PubSubManager


class RedisManager(Backend, PubSubManager):
    """Would connect servers by Redis; refuses to be made until that exists."""

    queue = "Redis"
