"""`python -m kokanee typescript module:app`: writes the types of the events of a `SocketIO` for TypeScript."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .._serve_options import StartError, load
from ._app import SocketIO


def main(arguments: list[str]) -> int:
    """Runs the command, and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m kokanee typescript",
        description="Writes the types of the events of a FastAPI application, or of its SocketIO, for TypeScript.",
    )
    parser.add_argument("app", help="module:attribute, of the application or of its SocketIO")
    parser.add_argument("-o", "--output", help="the file to write; without it, the text is printed")
    parser.add_argument("--app-dir", default=".", help="folder of the module")
    given = parser.parse_args(arguments)
    sys.path.insert(0, os.path.abspath(given.app_dir))
    try:
        found = load(given.app, factory=False)
    except StartError as error:
        print(f"kokanee: {error}", file=sys.stderr)
        return 2
    sio = found if isinstance(found, SocketIO) else getattr(found, "kokanee_socketio", None)
    if not isinstance(sio, SocketIO):
        print(f"kokanee: {given.app} is not a SocketIO of kokanee.fastapi, nor an application with one", file=sys.stderr)
        return 2
    text = sio.typescript()
    if given.output is None:
        print(text, end="")
    else:
        Path(given.output).write_text(text)
    return 0
