"""The programs of the guide's page about Flask run, and the page names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import HERE, javascript, program

pytest.importorskip("flask")

from flask import Flask

import kokanee.flask

PAGE = (HERE.parent.parent / "docs" / "python-flask.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)
DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}


def test_the_server_of_the_page_runs(tmp_path: Path) -> None:
    (text,) = (block for block in BLOCKS if block.startswith("# flask_server.py\n"))
    path = tmp_path / "flask_server.py"
    path.write_text(text.replace("5000", 'int(__import__("os").environ["PORT"])'))
    with program(str(path)) as server:
        seen = javascript("echo.mjs", server.port, "polling,websocket")
        assert seen == {"transport": "websocket", "ack": DATA, "back": [DATA]}


def test_the_other_programs_run_after_it() -> None:
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, "page", "exec"), names)
    names["test_a_message_comes_back"]()  # type: ignore[operator]
    app, socketio = names["app"], names["socketio"]
    assert isinstance(app, Flask) and isinstance(socketio, kokanee.flask.SocketIO)
    client = socketio.test_client(app, namespace="/chat")
    assert client.emit("say", "tea", namespace="/chat", callback=True) is False


def test_the_page_names_what_there_is() -> None:
    for name in re.findall(r"`socketio\.(\w+)", PAGE):
        assert hasattr(kokanee.flask.SocketIO(), name), name
    for name in re.findall(r"`from kokanee.flask import (\w+)`", PAGE):
        assert hasattr(kokanee.flask, name), name
