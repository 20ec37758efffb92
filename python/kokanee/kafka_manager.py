"""`KafkaManager`: exists by name; see `_backends.py`."""

from __future__ import annotations

from ._backends import Backend
from .pubsub_manager import PubSubManager


class KafkaManager(Backend, PubSubManager):
    """Would connect servers by Kafka; refuses to be made until that exists."""

    queue = "Kafka"
