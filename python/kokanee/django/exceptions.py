"""What can be wrong in a process that emits."""

from __future__ import annotations


class NotServing(RuntimeError):
    """Says that an event cannot reach anybody: this process serves no clients, and does not know those that do."""
