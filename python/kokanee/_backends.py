"""Managers by the names of message queues. They can be named; using one says that it is not there yet."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn


class NotThereYet(RuntimeError):
    """Says that something of python-socketio does not exist in Kokanee yet."""


class Backend:
    """Is mixed into managers that need a message queue: they can be made, with a warning, and not be used."""

    name: str
    queue = "a message queue"

    def __init__(
        self,
        url: Any = None,
        channel: str = "socketio",
        write_only: bool = False,
        logger: Any = None,
        json: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(channel=channel, write_only=write_only, logger=logger, json=json)  # type: ignore[call-arg]
        self.url = url
        warnings.warn(self._refusal(), stacklevel=2)

    def _refusal(self) -> str:
        return (
            f"{type(self).__name__}: Kokanee does not connect servers by {self.queue} yet, so this message queue cannot "
            "be used. The workers of one host need none. For processes that must work together now, subclass "
            "PubSubManager (or AsyncPubSubManager) and override _publish and _listen."
        )

    def check(self) -> NoReturn:
        """Refuses to be used."""
        raise NotThereYet(self._refusal())

    def initialize(self) -> NoReturn:
        """Refuses to be used."""
        self.check()

    def _publish(self, data: dict[str, Any]) -> NoReturn:
        self.check()

    def _listen(self) -> NoReturn:
        self.check()
