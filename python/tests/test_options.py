"""The options of a server: what each may be, what a wrong one says, and what sessions see of them, beside python-socketio."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import Any

import kokanee
import pytest
import socketio

PACKAGES = pytest.mark.parametrize("package", [socketio, kokanee])
CLASSES = pytest.mark.parametrize("make", [kokanee.Server, kokanee.AsyncServer])


class Opened:
    """The answer to a client that opens a session by polling, within this process."""

    def __init__(self, app: Any, **headers: str) -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/socket.io/",
            "QUERY_STRING": "EIO=4&transport=polling",
            "HTTP_HOST": "localhost",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            **headers,
        }
        self.headers: dict[str, str] = {}
        body = b"".join(app(environ, self._start))
        self.text = body.decode()

    def _start(self, status: str, headers: list[tuple[str, str]], *args: Any) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}

    @property
    def handshake(self) -> dict[str, Any]:
        handshake: dict[str, Any] = json.loads(self.text[1:])
        return handshake

    @property
    def cookie(self) -> str | None:
        """The cookie, with `SID` for the session's id."""
        cookie = self.headers.get("set-cookie")
        return cookie and cookie.replace(self.handshake["sid"], "SID")


def app_of(package: Any, **options: Any) -> Any:
    return package.WSGIApp(package.Server(async_mode="threading", monitor_clients=False, **options))


@CLASSES
def test_an_unknown_option_names_the_nearest_one(make: Any) -> None:
    with pytest.raises(TypeError, match="unknown option 'ping_intervall'; did you mean 'ping_interval'"):
        make(ping_intervall=3)
    with pytest.raises(TypeError, match="did you mean 'cors_allowed_origins'"):
        make(cors_allowed_origin="*")
    with pytest.raises(TypeError, match="unknown option 'zzz'$"):
        make(zzz=1)


def test_a_program_of_python_socketio_with_options_that_are_wrong_runs() -> None:
    program = """
import kokanee; kokanee.install_as_socketio()
import socketio
socketio.Server(ping_intervall=3, http_compression="no")
print("made")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "made\n", done.stderr
    assert "UserWarning: unknown option 'ping_intervall' has no effect; did you mean" in done.stderr
    assert "UserWarning: http_compression is True or False, not 'no'" in done.stderr


WRONG = [
    ("ping_interval", "25"),
    ("ping_interval", (25, 5, 1)),
    ("ping_interval", True),
    ("ping_timeout", None),
    ("max_http_buffer_size", "1MB"),
    ("compression_threshold", []),
    ("allow_upgrades", "no"),
    ("http_compression", "false"),
    ("async_handlers", "yes"),
    ("always_connect", []),
    ("cookie", 5),
    ("cookie", {1: "io"}),
    ("cors_allowed_origins", 5),
    ("cors_allowed_origins", [b"https://a"]),
    ("transports", 5),
    ("namespaces", 5),
    ("namespaces", [b"/"]),
    ("logger", None),
    ("engineio_logger", "INFO"),
    ("json", object()),
    ("client_manager", "redis://"),
    ("path", 5),
]


@CLASSES
@pytest.mark.parametrize("name, value", WRONG)
def test_an_option_of_a_wrong_type_says_what_it_is(make: Any, name: str, value: Any) -> None:
    with pytest.raises(TypeError) as error:
        make(**{name: value})
    text = str(error.value)
    assert text.startswith(f"{name} is ") and text.endswith(f", not {value!r}")


def test_values_that_no_option_has_are_refused() -> None:
    for package in (socketio, kokanee):
        with pytest.raises(ValueError, match="No valid transports provided"):
            package.Server(async_mode="threading", transports=["carrier pigeon"])
        with pytest.raises(ValueError, match="Invalid async_mode"):
            package.Server(async_mode="fast")
    with pytest.raises(ValueError, match="'default', 'msgpack' or a packet class, not 'pickle'"):
        kokanee.Server(serializer="pickle")
    with pytest.raises(TypeError, match="a packet class, not 5"):
        kokanee.Server(serializer=5)
    for cookie in ("a;b", {"name": ""}, {"path": "/\r\nX: y"}):
        with pytest.raises(ValueError, match="a cookie cannot have the"):
            kokanee.Server(async_mode="threading", cookie=cookie)


def test_every_option_of_the_published_packages_is_known() -> None:
    import inspect

    import engineio

    for theirs, ours in ((socketio.Server, kokanee.Server), (socketio.AsyncServer, kokanee.AsyncServer)):
        names = [*inspect.signature(theirs).parameters, "serializer", "always_connect", "engineio_logger"]
        names += [*inspect.signature(engineio.Server).parameters]
        defaults = inspect.signature(engineio.Server).parameters
        usual = {name: defaults[name].default for name in names if name in defaults}
        own = {"logger": False, "serializer": "default", "async_handlers": True, "engineio_logger": False}
        options = {**usual, **own}
        options.pop("kwargs")
        ours(**options)


@PACKAGES
@pytest.mark.parametrize(
    "cookie, expected",
    [
        (None, None),
        ("io", "io=SID; path=/; SameSite=Lax"),
        ({"name": "here", "Path": "/x", "HttpOnly": True}, "here=SID; Path=/x; HttpOnly"),
        (
            {"Expires": "Wed, 21 Oct 2026 07:28:00 GMT", "Partitioned": True, "Max-Age": "60"},
            "io=SID; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Partitioned; Max-Age=60",
        ),
    ],
)
def test_the_cookie_has_the_attributes_of_the_option(package: Any, cookie: Any, expected: str | None) -> None:
    assert Opened(app_of(package, cookie=cookie)).cookie == expected


@PACKAGES
def test_a_function_gives_each_session_its_own_attribute(package: Any) -> None:
    ages = iter(["1", "2", "3"])
    app = app_of(package, cookie={"name": "io", "Max-Age": lambda: next(ages)})
    cookies = {Opened(app).cookie for _ in range(2)}
    # The first value may have been taken when the server started.
    assert len(cookies) == 2 and cookies <= {f"io=SID; Max-Age={age}" for age in "123"}


@PACKAGES
def test_the_handshake_says_what_the_options_say(package: Any) -> None:
    app = app_of(package, ping_interval=(10, 2), ping_timeout=3, max_http_buffer_size=5_000, allow_upgrades=False)
    handshake = Opened(app).handshake
    del handshake["sid"]
    # The second number of `ping_interval` is a grace period, which this server does not need.
    interval = 10_000 if package is kokanee else 12_000
    expected = {"upgrades": [], "pingTimeout": 3_000, "pingInterval": interval, "maxPayload": 5_000}
    assert handshake == expected


@PACKAGES
def test_the_heartbeat_may_change_while_clients_are_connected(package: Any) -> None:
    app = app_of(package)
    assert Opened(app).handshake["pingInterval"] == 25_000
    eio = app.engineio_app.eio
    eio.ping_interval, eio.ping_timeout = 7, 4
    assert (eio.ping_interval, eio.ping_timeout) == (7, 4)
    handshake = Opened(app).handshake
    assert (handshake["pingInterval"], handshake["pingTimeout"]) == (7_000, 4_000)


def test_other_options_say_that_they_come_too_late(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(kokanee, engineio_logger=logging.getLogger("late"))
    # A server of a test before may have set the level of the other logger.
    caplog.clear()
    eio = app.engineio_app.eio
    eio.max_http_buffer_size = 5_000
    assert Opened(app).handshake["maxPayload"] == 5_000 and not caplog.records
    eio.max_http_buffer_size = 6_000
    (record,) = [each for each in caplog.records if each.name == "late"]
    assert record.getMessage().startswith("max_http_buffer_size was changed after the first request")
    with pytest.raises(TypeError, match="ping_interval is a number"):
        eio.ping_interval = "7"
    assert eio.ping_interval == 25


def test_a_namespace_may_be_given_as_a_text() -> None:
    assert kokanee.Server(async_mode="threading", namespaces="/chat").namespaces == ["/chat"]
    assert kokanee.Server(async_mode="threading", namespaces="*").namespaces == "*"


@PACKAGES
def test_cors_headers(package: Any) -> None:
    app = app_of(package, cors_allowed_origins=["https://a.example"], cors_credentials=True)
    opened = Opened(app, HTTP_ORIGIN="https://a.example")
    assert opened.status == "200 OK"
    assert opened.headers["access-control-allow-origin"] == "https://a.example"
    assert opened.headers["access-control-allow-credentials"] == "true"
    assert Opened(app, HTTP_ORIGIN="https://b.example").status.startswith("400")
    everybody = app_of(package, cors_allowed_origins="*", cors_credentials=False)
    opened = Opened(everybody, HTTP_ORIGIN="https://b.example")
    assert opened.headers["access-control-allow-origin"] == "https://b.example"
    assert "access-control-allow-credentials" not in opened.headers
    # A page that was opened from a file.
    assert Opened(everybody, HTTP_ORIGIN="null").headers["access-control-allow-origin"] == "null"
    # The application looks after all of it.
    others = app_of(package, cors_allowed_origins=[], cookie="io")
    for origin in ("https://b.example", "null"):
        opened = Opened(others, HTTP_ORIGIN=origin)
        assert opened.status == "200 OK"
        assert not any(name.startswith("access-control") for name in opened.headers)


@PACKAGES
def test_a_cookie_does_not_change_which_pages_may_connect(package: Any) -> None:
    app = app_of(package, cookie="io")
    behind_a_proxy = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "app.example"}
    assert Opened(app, HTTP_ORIGIN="https://app.example", **behind_a_proxy).status == "200 OK"
    assert Opened(app, HTTP_ORIGIN="http://localhost").status == "200 OK"
    assert Opened(app, HTTP_ORIGIN="https://app.example").status.startswith("400")
    assert Opened(app, HTTP_ORIGIN="null").status.startswith("400")
