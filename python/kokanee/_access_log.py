"""The access log of the package's own host, in the combined format of other servers."""

from __future__ import annotations

import logging
import time
import urllib.parse
from typing import Any

logger = logging.getLogger("kokanee.access")

#: What a line needs of its request: address, request line, referrer, and user agent.
Head = tuple[str, str, str, str]


def _quoted(text: str) -> str:
    """Returns a text that cannot end a field or a line."""
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def _masked(target: str) -> str:
    """Returns the target of a request without the id of a session, which is a secret."""
    path, mark, query = target.partition("?")
    if "sid" not in query and "%" not in query:
        return target
    pairs = [pair.partition("=") for pair in query.split("&")]
    masked = (
        f"{name}=-" if urllib.parse.unquote_plus(name) == "sid" else name + equals + value
        for name, equals, value in pairs
    )
    return path + mark + "&".join(masked)


class AccessLog:
    """Writes a line for each response."""

    def __init__(self) -> None:
        if not logger.handlers and not logging.getLogger().handlers:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(message)s"))
            logger.addHandler(handler)
            logger.propagate = False
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        self._second = 0
        self._time = ""

    def head(self, environ: dict[str, Any]) -> Head:
        """Returns what a line needs of a WSGI request."""
        return (
            environ["REMOTE_ADDR"] or "-",
            f"{environ['REQUEST_METHOD']} {_masked(environ['RAW_URI'])} {environ['SERVER_PROTOCOL']}",
            environ.get("HTTP_REFERER", "-"),
            environ.get("HTTP_USER_AGENT", "-"),
        )

    def head_of_scope(self, scope: dict[str, Any]) -> Head:
        """Returns what a line needs of an ASGI request."""
        headers = dict(scope["headers"])
        client = scope["client"]
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        return (
            client[0] if client else "-",
            f"{scope.get('method', 'GET')} {_masked(target)} HTTP/{scope['http_version']}",
            headers.get(b"referer", b"-").decode("latin-1"),
            headers.get(b"user-agent", b"-").decode("latin-1"),
        )

    def write(self, head: Head, status: int, sent: int) -> None:
        """Writes the line of a response."""
        now = int(time.time())
        if now != self._second:
            self._second, self._time = now, time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(now))
        address, line, referrer, agent = head
        logger.info(
            '%s - - [%s] "%s" %d %d "%s" "%s"',
            address, self._time, _quoted(line), status, sent, _quoted(referrer), _quoted(agent),
        )  # fmt: skip
