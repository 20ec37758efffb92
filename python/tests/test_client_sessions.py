"""HTTP sessions, TLS and proxies of clients: the same comes of them as in python-socketio's clients."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from client_observing import after_others, combined, left, seen_by, serve
from support import Program, result, until
from tunnel import tunnel

#: What others than the test's certificate would be taken from.
NO_CERTIFICATES = dict.fromkeys(
    ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT"), ""
)
EACH = combined([("sync", "websocket"), ("async", "polling,websocket")], ["websocket", "polling,websocket"])


@pytest.fixture(scope="module")
def plain() -> Iterator[Program]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, pathlib.Path]]:
    folder = tmp_path_factory.mktemp("tls")
    make_authority(folder)
    with serve(KEY=str(folder / "server.key"), CERTIFICATE=str(folder / "server.pem")) as running:
        yield running, folder / "authority.pem"


def make_authority(folder: pathlib.Path) -> None:
    """Makes an authority, and the certificate of a server that it has signed."""
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout authority.key -out authority.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def attempts(
    server: Program, package: str, kind: str, transports: str, scheme: str = "http", **environment: str
) -> dict[str, Any]:
    begin = after_others(server)
    url = f"{scheme}://127.0.0.1:{server.port}"
    found: dict[str, Any] = result(
        "client_sessions.py", url, transports, PACKAGE=package, KIND=kind, **NO_CERTIFICATES, **environment
    )
    until(lambda: left(server, begin))
    requests = [[name, what[-1]] for name, kind, *what in seen_by(server, begin) if kind == "connect"]
    return {**found, "requests": requests}


@EACH
def test_sessions(plain: Program, kind: str, transports: str) -> None:
    theirs = attempts(plain, "socketio", kind, transports)
    ours = attempts(plain, "kokanee", kind, transports)
    assert ours["seen"] == theirs["seen"]
    for (name, request), (_, expected) in zip(ours["requests"], theirs["requests"], strict=True):
        # A cookie's place among others means nothing.
        for each in (request, expected):
            each["cookie"] = sorted((each["cookie"] or "").replace('"', "").split("; "))
        assert request == expected, name


@EACH
def test_certificates(secure: tuple[Program, pathlib.Path], kind: str, transports: str) -> None:
    server, certificate = secure
    theirs, ours = (
        attempts(server, package, kind, transports, "https", CERTIFICATE=str(certificate))
        for package in ("socketio", "kokanee")
    )
    assert theirs["seen"]["not_trusted"][0] == "refused"
    assert ours["seen"] == theirs["seen"]
    assert "TLS" in ours["answers"]["not_trusted"]


@combined([("sync", "polling,websocket"), ("async", "websocket")], ["websocket", "polling,websocket"])
def test_proxies(plain: Program, kind: str, transports: str) -> None:
    for package in ("socketio", "kokanee"):
        with tunnel() as proxy:
            done = attempts(plain, package, kind, transports, PROXY=f"http://127.0.0.1:{proxy.port}")
            expected = {"proxy": ["proxy", []]} if kind == "sync" or transports == "websocket" else {}
            assert done["seen"] == expected
            assert bool(proxy.requests) == bool(expected)
