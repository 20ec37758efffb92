"""Values of Django in the arguments of events: what JSON does not have becomes a text, as in `JsonResponse`."""

from __future__ import annotations

import functools
import operator
from typing import Any

_LEAVES = frozenset((str, int, float, bool, type(None), bytes, bytearray))


def plain(value: Any) -> Any:
    """Returns a value without dates, times, decimals, UUIDs and translated texts; itself if there is none of them."""
    kind = type(value)
    if kind in _LEAVES:
        return value
    if isinstance(value, dict):
        changed = {key: plain(item) for key, item in value.items()}
        return value if all(changed[key] is item for key, item in value.items()) else changed
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value]
        if all(map(operator.is_, items, value)):
            return value
        return tuple(items) if isinstance(value, tuple) else items
    return _converted(value)


def _converted(value: Any) -> Any:
    try:
        return _encoder().default(value)
    except TypeError:
        # The engine says where it is, or knows it.
        return value


@functools.cache
def _encoder() -> Any:
    from django.core.serializers.json import DjangoJSONEncoder

    return DjangoJSONEncoder()
