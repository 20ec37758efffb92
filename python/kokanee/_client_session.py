"""What a client reads from a session of requests or aiohttp, and from the options of their WebSockets."""

from __future__ import annotations

import base64
import http.cookies
import ssl
import time
import types
import urllib.parse
from collections.abc import Mapping
from typing import Any

#: Headers of a session that are about its own connections.
_OF_OTHERS = {"accept-encoding", "connection", "content-length", "transfer-encoding", "host", "upgrade"}

#: Options of WebSockets that say how the package there works, and have no meaning here.
_WITHOUT_EFFECT = {
    *("enable_multithread", "sockopt", "skip_utf8_validation", "fire_cont_frame", "redirect_limit"),
    *("autoclose", "autoping", "heartbeat", "method", "max_msg_size", "timeout", "receive_timeout", "trace_request_ctx"),
}
_KNOWN = {
    *("header", "headers", "cookie", "origin", "host", "compress", "suppress_origin"),
    *("http_proxy_host", "http_proxy_port", "http_proxy_auth", "http_no_proxy", "proxy_type", "http_proxy_timeout"),
    *("proxy", "proxy_auth", "sslopt", "ssl", "ssl_context", "verify_ssl"),
}


def check_extra(options: dict[str, Any]) -> None:
    """Raises `ValueError` if an option of WebSockets has no equivalent here."""
    for name in options:
        if name not in _KNOWN and name not in _WITHOUT_EFFECT:
            raise ValueError(
                f"websocket_extra_options: Kokanee has no {name!r}; it knows {', '.join(sorted(_KNOWN))}"
            )


def read(session: Any, url: str) -> dict[str, Any]:
    """Returns what a session says of a connection: headers, cookies, certificates, proxy."""
    if session is None:
        return {}
    if hasattr(session, "cookie_jar"):
        return _of_aiohttp(session, url)
    return _of_requests(session, url)


def _kept(pairs: Any) -> list[tuple[str, str]]:
    return [(str(name), _text(value)) for name, value in pairs if str(name).lower() not in _OF_OTHERS]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _of_requests(session: Any, url: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"headers": _kept(dict(getattr(session, "headers", None) or {}).items())}
    facts["headers"] += _authorization(getattr(session, "auth", None), url)
    facts["cookies"] = [
        (cookie.name, cookie.value) for cookie in getattr(session, "cookies", None) or () if _is_for(cookie, url)
    ]
    verify = getattr(session, "verify", True)
    if verify is False:
        facts["accept_invalid_certificates"] = True
    elif isinstance(verify, str):
        facts["root_certificates"] = [read_file(verify)]
    cert = getattr(session, "cert", None)
    if cert:
        facts["client_certificate"] = _pair(*((cert, None) if isinstance(cert, str) else cert))
    parts = urllib.parse.urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    proxies = getattr(session, "proxies", None) or {}
    names = (f"{scheme}://{parts.hostname}", scheme, f"all://{parts.hostname}", "all")
    proxy = next((proxies[name] for name in names if proxies.get(name)), None)
    if proxy:
        facts["proxy"] = proxy
    return facts


def _authorization(auth: Any, url: str) -> list[tuple[str, str]]:
    """Returns the header for a name and a password, or what a function of requests adds to a request."""
    if auth is None:
        return []
    if isinstance(auth, (tuple, list)) and len(auth) == 2:
        return [("Authorization", basic(*auth))]
    if hasattr(auth, "username") and hasattr(auth, "password") and not hasattr(auth, "build_digest_header"):
        return [("Authorization", basic(auth.username, auth.password))]
    request = types.SimpleNamespace(
        headers={}, url=url, method="GET", body=None, register_hook=lambda *_: None, path_url="/"
    )
    changed = auth(request)
    return _kept(getattr(changed, "headers", request.headers).items())


def basic(name: Any, password: Any) -> str:
    """Returns a name and a password as the value of the header `Authorization`."""
    pair = b":".join(part if isinstance(part, bytes) else str(part).encode("latin-1") for part in (name, password))
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _is_for(cookie: Any, url: str) -> bool:
    """Returns whether a cookie of a jar is for a server."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    domain = (getattr(cookie, "domain", "") or "").lstrip(".")
    if getattr(cookie, "expires", None) is not None and cookie.expires < time.time():
        return False
    if getattr(cookie, "secure", False) and parts.scheme not in ("https", "wss"):
        return False
    # The jar writes hosts without a dot with ".local".
    return not domain or host == domain or host.endswith(f".{domain}") or f"{host}.local" == domain


def _of_aiohttp(session: Any, url: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"headers": _kept(session.headers.items())}
    auth = getattr(session, "auth", None)
    if auth is not None:
        facts["headers"].append(("Authorization", auth.encode()))
    yarl = __import__("yarl")
    scheme = "https" if url.startswith(("https:", "wss:")) else "http"
    found = session.cookie_jar.filter_cookies(yarl.URL(f"{scheme}:{url.partition(':')[2]}"))
    facts["cookies"] = [(name, morsel.value) for name, morsel in found.items()]
    connector = getattr(session, "connector", None)
    _read_ssl(getattr(connector, "_ssl", None), facts)
    path = getattr(connector, "path", None)
    if isinstance(path, str):
        facts["unix_socket"] = path
    proxy = getattr(session, "_default_proxy", None)
    if proxy is not None:
        facts["proxy"] = _with_auth(str(proxy), getattr(session, "_default_proxy_auth", None))
    return facts


def _read_ssl(given: Any, facts: dict[str, Any]) -> None:
    """Reads what aiohttp takes as `ssl`: a context, or whether certificates are checked."""
    if given is False:
        facts["accept_invalid_certificates"] = True
    elif isinstance(given, ssl.SSLContext):
        if given.verify_mode == ssl.CERT_NONE:
            facts["accept_invalid_certificates"] = True
        roots = [ssl.DER_cert_to_PEM_cert(der).encode() for der in given.get_ca_certs(binary_form=True)]
        if roots:
            facts["root_certificates"] = [b"".join(roots)]
    elif given is not None and not isinstance(given, bool) and type(given).__name__ == "Fingerprint":
        raise ValueError("http_session: Kokanee cannot check the fingerprint of a certificate; use its root certificate")


def _with_auth(proxy: str, auth: Any) -> str:
    """Returns the URL of a proxy with a name and a password."""
    if auth is None:
        return proxy
    name, password = (auth.login, auth.password) if hasattr(auth, "login") else auth
    quote = urllib.parse.quote
    parts = urllib.parse.urlsplit(proxy)
    return f"{parts.scheme}://{quote(name, '')}:{quote(password or '', '')}@{parts.netloc.rpartition('@')[2]}"


def read_extra(options: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Adds what the options of WebSockets say to what is known of a connection."""
    if not options:
        return facts
    facts = {**facts, "headers": list(facts.get("headers", [])), "cookies": list(facts.get("cookies", []))}
    for given in (options.get("header"), options.get("headers")):
        pairs = given.items() if isinstance(given, Mapping) else [_split(each) for each in given or ()]
        facts["headers"] += [(str(name), _text(value)) for name, value in pairs]
    for name in ("origin", "host"):
        if options.get(name):
            facts["headers"].append((name.title(), options[name]))
    if options.get("cookie"):
        jar = http.cookies.SimpleCookie(options["cookie"])
        facts["cookies"] += [(name, morsel.coded_value) for name, morsel in jar.items()]
    if options.get("http_proxy_host"):
        port, kind = options.get("http_proxy_port") or 80, options.get("proxy_type") or "http"
        proxy = f"{kind}://{options['http_proxy_host']}:{port}"
        facts["proxy"] = _with_auth(proxy, options.get("http_proxy_auth"))
    if options.get("proxy"):
        facts["proxy"] = _with_auth(str(options["proxy"]), options.get("proxy_auth"))
    if options.get("compress"):
        facts["compression"] = True
    _read_ssl(False if options.get("verify_ssl") is False else options.get("ssl") or options.get("ssl_context"), facts)
    if options.get("ssl") is False:
        facts["accept_invalid_certificates"] = True
    _read_sslopt(options.get("sslopt") or {}, facts)
    return facts


def _split(header: Any) -> tuple[str, str]:
    """Returns name and value of a header that is one text, or a pair already."""
    if isinstance(header, (tuple, list)):
        return str(header[0]), str(header[1])
    name, _, value = str(header).partition(":")
    return name.strip(), value.strip()


def _read_sslopt(options: dict[str, Any], facts: dict[str, Any]) -> None:
    """Reads the options for TLS of the package websocket-client."""
    if options.get("cert_reqs") == ssl.CERT_NONE:
        facts["accept_invalid_certificates"] = True
    if options.get("ca_certs"):
        facts["root_certificates"] = [read_file(options["ca_certs"])]
    if options.get("certfile"):
        facts["client_certificate"] = _pair(options["certfile"], options.get("keyfile"))
    _read_ssl(options.get("context"), facts)


def _pair(certificate: str, key: str | None) -> tuple[bytes, bytes]:
    return read_file(certificate), read_file(key or certificate)


def read_file(path: str) -> bytes:
    """Returns what is in a file."""
    with open(path, "rb") as file:
        return file.read()
