"""The example of a chat on Flask: in a browser, in the test client, and for a type checker."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import browser, javascript, program

pytest.importorskip("flask")

EXAMPLE = Path(__file__).parent.parent / "examples" / "flask_chat"


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Returns the example as a module, anew for each test."""
    spec = importlib.util.spec_from_file_location("flask_chat_app", EXAMPLE / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where Flask looks for its folder.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    return module


def test_who_has_not_logged_in_is_refused(chat: ModuleType) -> None:
    pages = chat.app.test_client()
    assert pages.get("/").location == "/login"
    assert not chat.socketio.test_client(chat.app, flask_test_client=pages).is_connected()
    assert "A name, please." in pages.post("/login", data={"name": " "}).text
    pages.post("/login", data={"name": "  Ada   Lovelace "})
    assert "Ada Lovelace" in pages.get("/").text
    assert chat.socketio.test_client(chat.app, flask_test_client=pages).is_connected()


def test_a_room_hears_what_is_said_in_it(chat: ModuleType) -> None:
    def come(name: str) -> Any:
        pages = chat.app.test_client()
        pages.post("/login", data={"name": name})
        return chat.socketio.test_client(chat.app, flask_test_client=pages)

    ada, grace = come("Ada"), come("Grace")
    assert ada.emit("enter", "tea", callback=True) == []
    assert ada.emit("enter", "cellar", callback=True) == []
    grace.emit("enter", "tea")
    assert ada.get_received()[-1]["args"] == [{"room": "tea", "people": ["Ada", "Grace"]}]
    grace.get_received()
    assert ada.emit("say", "oolong", callback=True) and not ada.emit("say", " ", callback=True)
    (heard,) = grace.get_received()
    assert (heard["name"], heard["args"]["name"], heard["args"]["text"]) == ("message", "Ada", "oolong")
    grace.disconnect()
    assert ada.get_received()[-1]["args"] == [{"room": "tea", "people": ["Ada"]}]
    assert [each["text"] for each in come("Eve").emit("enter", "tea", callback=True)] == ["oolong"]


@pytest.mark.skipif(browser() is None, reason="needs Chromium, and npm's packages in tests/interop")
@pytest.mark.parametrize("width", ["390", "1280"])
def test_two_people_talk_in_a_browser(width: str, tmp_path: Path) -> None:
    with program(str(EXAMPLE / "app.py")) as server:
        seen = javascript("flask_chat.mjs", server.port, str(browser()), str(tmp_path), width, seconds=90)
    said = ["hällo 🐟", "who brings the tea?"]
    assert seen == {
        "together": ["Ada", "Grace <b>"],
        "before": said,
        "apart": {"ada": ["Ada"], "grace": ["Grace <b>"], "said": ["anybody?"]},
        "again": said,
        "left": ["Ada"],
        "wide": [0, 0, 0],
        "problems": [],
    }


PROGRAM = """
from flask import Flask

from kokanee.flask import SocketIO, emit, join_room, request

socketio = SocketIO(Flask("x"))


@socketio.event
def ask(number: int) -> int:
    emit("said", number, [number], broadcast=True)
    join_room("tea", sid=1)
    reveal_type(request.sid)
    return number


reveal_type(ask)
"""


def test_a_type_checker_accepts_the_example_and_finds_a_mistake(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(EXAMPLE / "app.py"), str(program)],
        cwd=EXAMPLE.parent.parent,
        capture_output=True,
        text=True,
        timeout=180,
    )
    lines = [line for line in done.stdout.replace("builtins.", "").splitlines() if ".py:" in line]
    assert len(lines) == 3 and all("program.py" in line for line in lines), done.stdout + done.stderr
    assert 'Argument "sid" to "join_room" has incompatible type "int"' in lines[0]
    assert 'Revealed type is "str"' in lines[1]
    assert 'Revealed type is "def (number: int) -> int"' in lines[2]
