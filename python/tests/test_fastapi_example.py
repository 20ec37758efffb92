"""The example whose answers arrive word by word, under two hosts: as a client and in a browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import browser, javascript, program

BIN = Path(sys.executable).parent
EXAMPLE = Path(__file__).parent.parent / "examples" / "fastapi_tokens"
UVICORN = [str(BIN / "uvicorn"), "--port", "{port}", "--app-dir", str(EXAMPLE), "tokens_app:app"]
OWN = [
    *(sys.executable, "-m", "kokanee", "serve", "--port", "{port}", "--app-dir", str(EXAMPLE)),
    "tokens_app:app",
]


@pytest.mark.skipif(browser() is None, reason="needs Chromium, and npm's packages in tests/interop")
@pytest.mark.parametrize(("host", "width"), [(UVICORN, "390"), (OWN, "1280")], ids=["uvicorn", "own"])
def test_an_answer_arrives_word_by_word_and_can_be_stopped(host: list[str], width: str, tmp_path: Path) -> None:
    with program(*host) as server:
        seen = javascript("tokens.mjs", server.port, str(browser()), str(tmp_path / "profile"), width, seconds=100)
    assert seen == {
        "isEarlier": True,
        "end": "this page in Python.",
        "notes": ["N words in N s", "stopped after N words"],
        "questions": ["What is a kokanee?", "something <b>else</b>"],
        "refused": "3 answers are on their way: wait for one, or stop it",
        "wider": 0,
        "problems": [],
    }
