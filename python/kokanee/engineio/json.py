"""The standard library's `json`, without integers so long that reading them takes noticeable time."""

from __future__ import annotations

import json as _json
from json import JSONDecodeError, JSONDecoder, JSONEncoder, dump, dumps, load
from typing import Any

__all__ = ["JSONDecodeError", "JSONDecoder", "JSONEncoder", "dump", "dumps", "load", "loads"]

#: The most digits of an integer.
MOST_DIGITS = 100


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS:
        raise ValueError("Integer is too large")
    return int(text)


def loads(text: str | bytes | bytearray, **kwargs: Any) -> Any:
    """Reads a JSON text."""
    kwargs.setdefault("parse_int", _integer)
    return _json.loads(text, **kwargs)
