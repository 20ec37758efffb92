"""Is put beside the suite of a published package: the names it imports are Kokanee's."""

import os
import pathlib
import sys
from collections.abc import Iterator

import pytest
import socketio.exceptions
import uvicorn.config

import kokanee

published = socketio
for name in [name for name in sys.modules if name.split(".")[0] in ("socketio", "engineio")]:
    del sys.modules[name]

kokanee.install_as_socketio()
for name in ("ConnectionError", "TimeoutError", "DisconnectedError", "BadNamespaceError"):
    # So that a test sees its clients fail with what it imports.
    setattr(published.exceptions, name, getattr(kokanee.exceptions, name))
if os.environ.get("STANDS_IN") == "kokanee.flask":
    # Nothing of the published extension is left.
    import kokanee.flask

    sys.modules["flask_socketio"] = kokanee.flask
else:
    sys.path.insert(0, str(pathlib.Path(__file__).parent / "src"))

# The suite's own pages have headers that are texts, which only this implementation takes.
uvicorn.config.HTTP_PROTOCOLS["auto"] = uvicorn.config.HTTP_PROTOCOLS["h11"]


@pytest.fixture(autouse=True)
def published_clients(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gives the tests of servers the clients that they expect: they count threads, among which are those of these clients' upgrades."""
    if "test_admin" in request.node.nodeid:
        monkeypatch.setattr(kokanee, "SimpleClient", published.SimpleClient)
    yield
