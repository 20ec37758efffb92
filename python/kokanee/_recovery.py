"""The offset that a server appends to events if it recovers connections: what it is, and which handlers get it.

In JavaScript, a function does not see arguments that it has no parameters for. Here it would fail, and the event would be lost.
"""

from __future__ import annotations

import re
import time
from typing import Any

from ._handlers import Handler, accepts

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
#: The server's time in milliseconds, to the base 64, as the adapter in memory has it; ids of Redis streams and of MongoDB.
_FORM = re.compile(r"([0-9A-Za-z_-]{7})(?:\.[0-9A-Za-z_-]{1,5})?|[0-9]{12,14}-[0-9]{1,20}|[0-9a-f]{24}")
#: How far the clock of the server may be from that of the client, in seconds.
_CLOCKS_DIFFER = 7 * 24 * 60 * 60


class Offset(str):
    """Is the last argument of an event of a server that recovers connections.

    It may still be one of the application's, as a volatile event has no offset.
    """

    def is_certain(self) -> bool:
        """Returns whether it can only be an offset, by its form."""
        form = _FORM.fullmatch(self)
        if form is None:
            return False
        number = 0
        for digit in form[1] or "":
            number = number * 64 + _DIGITS.index(digit)
        return not number or abs(number / 1000 - time.time()) < _CLOCKS_DIFFER


def marked(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the arguments of an event whose last one is an offset, if it is a text."""
    if args and type(args[-1]) is str:
        return (*args[:-1], Offset(args[-1]))
    return args


def fitted(handler: Handler, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the arguments that a handler gets: with the offset if it has a parameter for that only, or if it may be a value."""
    if not args or type(args[-1]) is not Offset:
        return args
    forms = (args[:-1], args) if args[-1].is_certain() else (args, args[:-1])
    return next((form for form in forms if accepts(handler, len(form))), forms[0])
