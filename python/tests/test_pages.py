"""The programs of the guide's pages about Python: whole ones run on their hosts, the others at least register their handlers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support import javascript, program

import kokanee

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
PAGES = ["README.md", "docs/python.md", "docs/from-python-socketio.md", "docs/python-troubleshooting.md"]
DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}


def blocks() -> list[str]:
    """Returns all programs of the pages."""
    texts = [(ROOT / page).read_text() for page in PAGES]
    return [block for text in texts for block in re.findall(r"```python\n(.*?)```", text, re.S)]


def whole() -> dict[str, str]:
    """Returns the programs that have a file's name in their first line."""
    named = {re.match(r"# (\w+)\.py\n", block): block for block in blocks()}
    return {match[1]: block for match, block in named.items() if match}


@pytest.mark.parametrize("name", whole())
def test_a_server_of_the_guide_runs(name: str, tmp_path: Path) -> None:
    text = whole()[name].replace("5000", 'int(__import__("os").environ["PORT"])')
    (tmp_path / f"{name}.py").write_text(text)
    commands = {
        "threads_server": [
            str(BIN / "gunicorn"), "--threads", "8", "-b", "127.0.0.1:{port}", "--chdir", str(tmp_path),
            "threads_server:app",
        ],
        "asgi_server": [
            str(BIN / "uvicorn"), "--port", "{port}", "--app-dir", str(tmp_path), "asgi_server:app",
        ],
    }  # fmt: skip
    with program(*commands.get(name, [str(tmp_path / f"{name}.py")])) as server:
        seen = javascript("echo.mjs", server.port, "polling,websocket")
        assert seen == {"transport": "websocket", "ack": DATA, "back": [DATA]}


def test_the_other_programs_register_what_they_show() -> None:
    parts = [block for block in blocks() if block not in whole().values()]
    assert len(parts) >= 5
    for part in parts:
        sio = kokanee.Server(async_mode="threading")
        exec(compile(part, "page", "exec"), {"kokanee": kokanee, "sio": sio})


def test_the_pages_name_what_there_is() -> None:
    text = "\n".join((ROOT / page).read_text() for page in PAGES)
    names = {name for name in re.findall(r"`kokanee\.(\w+)", text)}
    # Modules, and names of loggers.
    names -= {"uvicorn", "flask", "django", "host", "access"}
    assert len(names) >= 4
    for name in names:
        assert hasattr(kokanee, name), name
    for name in re.findall(r"`(?:sio|Server)\.(\w+)", text):
        assert hasattr(kokanee.Server, name) or name in ("eio", "manager"), name
