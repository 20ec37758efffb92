"""`python -m kokanee run`: runs a program as Python does, except that its `import socketio` gives this package."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys

from ._names import install_as_socketio


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main(arguments: list[str]) -> int:
    """Runs a program file, or a module after `-m`."""
    if not arguments or arguments == ["-m"]:
        print("usage: python -m kokanee run program.py [arguments], or run -m module", file=sys.stderr)
        return 2
    install_as_socketio()
    if arguments[0] == "-m":
        # As with `python -m`: modules of the current folder come first.
        sys.path[0] = os.getcwd()
        sys.argv = arguments[1:]
        if not _is_there(arguments[1]):
            print(f"kokanee: there is no module {arguments[1]}", file=sys.stderr)
            return 2
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    program = arguments[0]
    if not os.path.exists(program):
        print(f"kokanee: there is no file {program}", file=sys.stderr)
        return 2
    if not os.path.isdir(program):
        sys.path[0] = os.path.dirname(os.path.abspath(program))
    sys.argv = arguments
    runpy.run_path(program, run_name="__main__")
    return 0
