"""`KombuManager`: exists by name; see `_backends.py`."""

from __future__ import annotations

from ._backends import Backend
from .pubsub_manager import PubSubManager


class KombuManager(Backend, PubSubManager):
    """Would connect servers by AMQP; refuses to be made until that exists."""

    queue = "AMQP"
