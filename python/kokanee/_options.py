"""The options of a server: their names, their defaults, what each may be, and the words of the engine for them.

A wrong one raises where the server is made, with what was meant.
"""

from __future__ import annotations

import difflib
import functools
import logging
import numbers
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import packet

#: Options of Engine.IO, with their defaults.
ENGINE_OPTIONS: dict[str, Any] = {
    "async_mode": None,
    "ping_interval": 25,
    "ping_timeout": 20,
    "max_http_buffer_size": 1_000_000,
    "allow_upgrades": True,
    "http_compression": True,
    "compression_threshold": 1024,
    "cookie": None,
    "cors_allowed_origins": None,
    "cors_credentials": True,
    "monitor_clients": None,
    "transports": None,
    "engineio_logger": False,
    # Ours:
    "allow_eio3": False,
    "connection_state_recovery": None,
    "connect_timeout": 45,
    "max_outbound_bytes": 64 * 1024 * 1024,
    "max_total_outbound_bytes": 1024 * 1024 * 1024,
    "overflow": "disconnect",
    "write_timeout": 10,
    "path": None,
    "strict_targets": False,
    "takeover": False,
    "poll_takeover": True,
    "workers": "auto",
}

#: The arguments of servers that are options of Socket.IO.
OWN_OPTIONS = (
    *("client_manager", "logger", "serializer", "json"),
    *("async_handlers", "always_connect", "namespaces"),
)

#: Options that sessions which open later follow, if they are changed while clients are connected.
LATER = ("ping_interval", "ping_timeout", "allow_upgrades")

_SECONDS = ("ping_timeout", "connect_timeout", "write_timeout")
_BYTES = ("max_http_buffer_size", "compression_threshold", "max_outbound_bytes", "max_total_outbound_bytes")
_SWITCHES = (
    *("allow_upgrades", "http_compression", "cors_credentials", "monitor_clients"),
    *("allow_eio3", "strict_targets", "takeover", "poll_takeover", "async_handlers", "always_connect"),
)
_LOGGERS = ("logger", "engineio_logger")
TRANSPORTS = ("polling", "websocket")
#: What happens to an event that has no room in the buffer of a client: the client is disconnected, or an event is dropped.
OVERFLOWS = ("disconnect", "drop_oldest", "drop_newest")


#: What a dict as `connection_state_recovery` may have.
RECOVERY = ("max_disconnection_duration", "max_packets", "max_bytes", "max_sessions", "max_missed_bytes")


def merged(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all options of Engine.IO: the given ones, checked, and the defaults of the others."""
    options = dict(ENGINE_OPTIONS)
    for name, value in given.items():
        if name in options:
            check(name, value)
        else:
            _refuse_unknown(name)
        options[name] = value
    return options


def _refuse_unknown(name: str) -> None:
    near = difflib.get_close_matches(name, [*ENGINE_OPTIONS, *OWN_OPTIONS], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if _stands_in():
        warnings.warn(f"unknown option {name!r} has no effect{hint}", stacklevel=5)
        return
    raise TypeError(f"unknown option {name!r}{hint}")


def check(name: str, value: Any) -> None:
    """Raises `TypeError` if an option cannot have a value; warns of it in a program of python-socketio."""
    meant = _meant(name, value)
    if meant is None:
        return
    text = f"{name} is {meant}, not {value!r}"
    if not _stands_in():
        raise TypeError(text)
    warnings.warn(text, stacklevel=5)


def _stands_in() -> bool:
    """Returns whether the program was written for python-socketio, which takes anything."""
    return getattr(sys.modules.get("socketio"), "__name__", None) == "kokanee"


def _meant(name: str, value: Any) -> str | None:
    """Returns what an option is, unless a value is such."""
    if name in _SECONDS or name in _BYTES:
        return None if _is_number(value) else f"a number of {'seconds' if name in _SECONDS else 'bytes'}"
    if name in _SWITCHES:
        return None if value is None or isinstance(value, (bool, int)) else "True or False"
    if name in _LOGGERS:
        fits = isinstance(value, bool) or all(callable(getattr(value, each, None)) for each in ("info", "error"))
        return None if fits else "True, False or a logger"
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "ping_interval": (_is_interval, "a number of seconds, or a tuple of two"),
        "cookie": (_is_cookie, "the name of a cookie, or a dict with its attributes"),
        "cors_allowed_origins": (_is_origins, "an origin, a list of origins, '*', or a function of an origin"),
        "transports": (_is_text_or_texts, "'polling', 'websocket', or a list of them"),
        "overflow": (OVERFLOWS.__contains__, "'disconnect', 'drop_oldest' or 'drop_newest'"),
        "connection_state_recovery": (_is_recovery, f"True, False, or a dict with numbers for some of {', '.join(RECOVERY)}"),
        "path": (_is_text, "a text such as '/socket.io/'"),
        "namespaces": (_is_text_or_texts, "a list of namespaces, or '*'"),
        "json": (_is_json, "a module, or an object, with dumps and loads"),
        "workers": (_is_workers, "'auto', False, a name or a folder that the workers share"),
        "client_manager": (_is_manager, "a manager, such as Manager()"),
    }
    fits_to, meant = checks.get(name, (lambda _: True, ""))
    return None if value is None or fits_to(value) else meant


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_interval(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return len(parts) in (1, 2) and all(map(_is_number, parts))


def _is_recovery(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    return isinstance(value, dict) and all(name in RECOVERY and _is_number(each) for name, each in value.items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_texts(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, (list, tuple, set, frozenset)) and all(map(_is_text, value))


def _is_origins(value: Any) -> bool:
    return callable(value) or _is_text_or_texts(value)


def _is_cookie(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and all(map(_is_text, value)))


def _is_json(value: Any) -> bool:
    return callable(getattr(value, "dumps", None)) and callable(getattr(value, "loads", None))


def _is_workers(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value != "")


def _is_manager(value: Any) -> bool:
    return callable(getattr(value, "set_server", None))


def packet_class(serializer: Any) -> Any:
    """Returns the class of packets of the option `serializer`."""
    if serializer == "default":
        return packet.Packet
    if serializer == "msgpack":
        from . import msgpack_packet

        return msgpack_packet.MsgPackPacket
    if isinstance(serializer, str):
        raise ValueError(f"serializer is 'default', 'msgpack' or a packet class, not {serializer!r}")
    if not all(callable(getattr(serializer, each, None)) for each in ("encode", "decode")):
        raise TypeError(f"serializer is 'default', 'msgpack' or a packet class, not {serializer!r}")
    return serializer


def make_logger(logger: Any, default: logging.Logger) -> logging.Logger:
    """Returns the logger of an option: itself, or the default one at the level that the option says."""
    if not isinstance(logger, bool):
        return logger  # type: ignore[no-any-return]
    if default.level == logging.NOTSET:
        default.setLevel(logging.INFO if logger else logging.ERROR)
        handler = logging.StreamHandler()
        # Those of the root logger have it already.
        handler.addFilter(lambda record: not (default.propagate and logging.getLogger().handlers))
        default.addHandler(handler)
    return default


def namespaces(given: Any) -> Any:
    """Returns the namespaces that are open without a handler: a list, or `"*"`."""
    if given == "*" or not isinstance(given, str):
        return given or ["/"]
    return [given]


def transports(given: Any) -> list[str] | None:
    """Returns the transports of the option. Raises `ValueError` if none is left."""
    if given is None:
        return None
    names = [given] if isinstance(given, str) else list(given)
    known = [name for name in names if name in TRANSPORTS]
    if not known:
        raise ValueError("No valid transports provided")
    return known


def recovery(given: Any) -> dict[str, float | int] | None:
    """Returns what is kept of clients whose connection is lost, as numbers; `None` if nothing is."""
    if given is None or given is False:
        return None
    numbers_of = {} if given is True else given
    seconds = "max_disconnection_duration"
    return {name: float(value) if name == seconds else int(value) for name, value in numbers_of.items()}


def cookie(given: Any) -> dict[str, Any] | None:
    """Returns name and attributes of the cookie that a session sets; the attributes as a function if they may differ."""
    if not given:
        return None
    if isinstance(given, str):
        given = {"name": given, "path": "/", "SameSite": "Lax"}
    name = given.get("name", "io")
    if not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", name, re.ASCII):
        raise ValueError(f"a cookie cannot have the name {name!r}")
    attributes = [(key, value) for key, value in given.items() if key != "name"]
    text = functools.partial(_cookie_text, attributes)
    varies = any(callable(value) for _, value in attributes)
    return {"name": name, "attributes": text if varies else text()}


def _cookie_text(attributes: Iterable[tuple[str, Any]]) -> str:
    text = ""
    for key, value in attributes:
        value = value() if callable(value) else value
        if value is not False and value is not None:
            text += f"; {key}" if value is True else f"; {key}={value}"
    if not re.fullmatch(r"[ -~]*", text):
        raise ValueError(f"a cookie cannot have the attributes {text!r}")
    return text


def for_engine(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options in the words of the engine."""
    interval = options["ping_interval"]
    if isinstance(interval, tuple):
        interval = interval[0]
    origins = options["cors_allowed_origins"]
    if origins is not None:
        if isinstance(origins, str):
            origins = [origins]
        elif callable(origins) or not origins:
            # It is asked before the engine, or somebody else takes care of it.
            origins = ["*"]
    return {
        "ping_interval": float(interval),
        "ping_timeout": float(options["ping_timeout"]),
        "max_http_buffer_size": int(options["max_http_buffer_size"]),
        "connect_timeout": float(options["connect_timeout"]),
        "max_outbound_bytes": int(options["max_outbound_bytes"]),
        "max_total_outbound_bytes": int(options["max_total_outbound_bytes"]),
        "recovery": recovery(options["connection_state_recovery"]),
        "overflow": options["overflow"],
        "write_timeout": float(options["write_timeout"]),
        "allow_upgrades": bool(options["allow_upgrades"]),
        "allow_eio3": bool(options["allow_eio3"]),
        "http_compression": bool(options["http_compression"]),
        "compression_threshold": int(options["compression_threshold"]),
        "transports": transports(options["transports"]),
        "cors_origins": list(origins) if origins else None,
        "cors_is_others": origins == ["*"] and options["cors_allowed_origins"] in ([], ()),
        "cookie": cookie(options["cookie"]),
        "cors_credentials": bool(options["cors_credentials"]),
        "path": options["path"],
    }
