"""`AsyncAioPikaManager`: exists by name; see `_backends.py`."""

from __future__ import annotations

from ._backends import Backend
from .async_pubsub_manager import AsyncPubSubManager


class AsyncAioPikaManager(Backend, AsyncPubSubManager):
    """Would connect servers by AMQP; refuses to be made until that exists."""

    queue = "AMQP"
