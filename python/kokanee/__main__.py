"""`python -m kokanee`: commands."""

from __future__ import annotations

import importlib
import sys

from . import _engine

#: The module of each command; its `main(arguments)` runs it.
COMMANDS = {
    "doctor": "_doctor",
    "run": "_run_program",
    "serve": "_serve",
    "typescript": "fastapi._command",
}

USAGE = """usage:
  python -m kokanee serve module:app [options]     serve an application; --help lists the options
  python -m kokanee run program.py [arguments]     run a program whose `import socketio` gives Kokanee
  python -m kokanee run -m module [arguments]      the same for a module
  python -m kokanee typescript module:app [-o file] write the types of a FastAPI application's events for TypeScript
  python -m kokanee doctor [module:server]         say what is installed, what is chosen, and what has no effect
"""


def main(arguments: list[str]) -> int:
    """Runs a command, and returns the exit code."""
    first = arguments[0] if arguments else None
    if first in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if first in ("-V", "--version"):
        print(f"kokanee {_engine.__version__}")
        return 0
    name = COMMANDS.get(first) if first is not None else None
    if name is None:
        if first is not None:
            print(f"kokanee: there is no command {first!r}", file=sys.stderr)
        print(USAGE, end="", file=sys.stderr)
        return 2
    command = importlib.import_module(f".{name}", __package__)
    result: int | None = command.main(arguments[1:])
    return result or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
