"""Who gets an event, where an application may say it with the objects of clients in place of their ids."""

from __future__ import annotations

from typing import Any


def target_of(to: Any, kind: type[Any]) -> Any:
    """Returns a target as servers take it: for objects of a class the `sid` that they have, also within a list."""
    if isinstance(to, kind):
        return to.sid
    if isinstance(to, (list, tuple, set, frozenset)):
        return [target_of(each, kind) for each in to]
    return to
