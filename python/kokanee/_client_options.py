"""The options of a client, and what of a connection differs from one to the next: in the words of the engine."""

from __future__ import annotations

import difflib
import os
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from . import _client_session, _options, exceptions, packet

#: Options beside those of Socket.IO, with their defaults.
OPTIONS: dict[str, Any] = {
    "engineio_logger": None,
    "request_timeout": 5,
    "http_session": None,
    "ssl_verify": True,
    "websocket_extra_options": None,
    "timestamp_requests": True,
    # Ours:
    "async_handlers": True,
    "buffer_offline": False,
    "send_buffer_bytes": 1 << 20,
    "retries": None,
    "ack_timeout": None,
    "proxy": None,
    "compression": False,
    "eio_version": 4,
    "max_message_bytes": 100_000_000,
    "unix_socket": None,
}
_OWN = (
    *("reconnection", "reconnection_attempts", "reconnection_delay", "reconnection_delay_max"),
    *("randomization_factor", "logger", "serializer", "json", "handle_sigint"),
)
_TIMES = ("request_timeout", "reconnection_delay", "reconnection_delay_max", "ack_timeout")
_COUNTS = ("reconnection_attempts", "retries", "send_buffer_bytes", "max_message_bytes")


def merged(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that are not the defaults. Raises `TypeError` for one that is unknown."""
    for name, value in given.items():
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, [*OPTIONS, *_OWN], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"unknown option {name!r} of a client{hint}")
        check(name, value)
    return dict(given)


def check(name: str, value: Any) -> None:
    """Raises an exception if an option cannot have a value."""
    if name in _TIMES and value is not None and (not _options._is_number(value) or value < 0):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if name in _COUNTS and value is not None and (not isinstance(value, int) or value < 0):
        raise TypeError(f"{name} is a number, not {value!r}")
    if name == "eio_version" and value not in (3, 4):
        raise ValueError(f"eio_version is 3 or 4, not {value!r}")
    if name == "websocket_extra_options":
        _client_session.check_extra(value or {})


def transports(given: Any) -> list[str] | None:
    """Returns the transports to use. Raises `ValueError` if none is left."""
    if given is None:
        return None
    names = [given] if isinstance(given, str) else list(given)
    known = [name for name in names if name in _options.TRANSPORTS]
    if not known:
        raise ValueError("No valid transports provided")
    return known


def clean_url(url: Any) -> str:
    """Returns a URL without its path, which is not that of the server, nor a namespace."""
    if not isinstance(url, str):
        raise TypeError(f"the URL is a text, or a function that returns one, not {url!r}")
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{query}"


def headers(given: Any) -> list[tuple[str, str]]:
    """Returns headers, which may be in a dict or in pairs, as texts."""
    if not given:
        return []
    pairs = given.items() if hasattr(given, "items") else given
    return [(_text(name), _text(value)) for name, value in pairs]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def connection(client: Any, url: str, given: Any) -> tuple[str, list[tuple[str, str]], dict[str, Any]]:
    """Returns the URL and the headers of a connection, and what else of it comes from a session of an HTTP package."""
    url = clean_url(url)
    own = headers(given)
    session = client._http_session()
    facts = _client_session.read(session, url)
    is_secure = url.startswith(("https:", "wss:")) or callable(client.connection_url)
    if not client.is_asyncio_based() if session is None else getattr(session, "trust_env", False):
        # As the packages do with which python-socketio makes its requests.
        facts = {**_of_environment(url, is_secure), **facts}
    facts = _client_session.read_extra(client._option("websocket_extra_options") or {}, facts)
    names = {name.lower() for name, _ in own}
    pairs = [(name, value) for name, value in facts.pop("headers", []) if name.lower() not in names]
    return url, _with_cookies([*pairs, *own], facts.pop("cookies", [])), facts


def _with_cookies(pairs: list[tuple[str, str]], cookies: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the headers with the cookies of a session beside those of a header."""
    if not cookies:
        return pairs
    texts = [value for name, value in pairs if name.lower() == "cookie"]
    known = {part.split("=")[0].strip() for text in texts for part in text.split(";")}
    texts += [f"{name}={value}" for name, value in cookies if name not in known]
    return [*((name, value) for name, value in pairs if name.lower() != "cookie"), ("Cookie", "; ".join(texts))]


def for_engine(client: Any, own: list[tuple[str, str]], facts: dict[str, Any], wait: float, retry: bool) -> dict[str, Any]:
    """Returns the options in the words of the engine."""
    option = client._option
    coding = packet.coding(client.packet_class)
    json = client.packet_class.json
    options = {
        "path": client.socketio_path,
        "headers": own,
        "transports": transports(client.connection_transports),
        "connect_timeout": float(max(option("request_timeout"), wait)),
        "reconnection": bool(client.reconnection),
        "reconnection_attempts": client.reconnection_attempts or 0,
        "reconnection_delay": float(client.reconnection_delay),
        "reconnection_delay_max": float(client.reconnection_delay_max),
        "randomization_factor": float(client.randomization_factor),
        "retry": retry,
        "parser": coding,
        "json": None if packet.is_usual_json(json) else json,
        "accept_invalid_certificates": not option("ssl_verify"),
        "serial": not option("async_handlers"),
        "buffers": option("buffer_offline") or option("retries") is not None,
        "eio_version": option("eio_version"),
        "compression": option("compression"),
        "retries": option("retries"),
        "ack_timeout": option("ack_timeout"),
        "send_buffer_bytes": option("send_buffer_bytes"),
        "max_message_bytes": option("max_message_bytes"),
        "unix_socket": option("unix_socket"),
        "proxy": option("proxy"),
    }
    for name, value in facts.items():
        if name == "proxy" and options["proxy"] is not None:
            continue
        options[name] = value
    return options


def _of_environment(url: str, is_secure: bool) -> dict[str, Any]:
    """Returns the proxy and the certificates that the environment names for a URL."""
    facts: dict[str, Any] = {}
    proxy = environment_proxy(url)
    if proxy is not None:
        facts["proxy"] = proxy
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = os.environ.get(name)
        if path and is_secure and os.path.isfile(path):
            facts["root_certificates"] = [_client_session.read_file(path)]
            break
    return facts


def environment_proxy(url: str) -> str | None:
    """Returns the proxy that the environment names for a URL."""
    parts = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies()
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or (parts.hostname and urllib.request.proxy_bypass(parts.hostname)):
        return None
    return proxy


def failure(text: str, reason: str | None, data: Any = None) -> exceptions.ConnectionError:
    """Returns an exception that says why there is no connection."""
    error = exceptions.ConnectionError(text)
    error.reason, error.data = reason, data
    return error
