"""`ZmqManager`: exists by name; see `_backends.py`."""

from __future__ import annotations

from ._backends import Backend
from .pubsub_manager import PubSubManager


class ZmqManager(Backend, PubSubManager):
    """Would connect servers by ZeroMQ; refuses to be made until that exists."""

    queue = "ZeroMQ"
