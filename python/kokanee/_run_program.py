"""`python -m kokanee run`: runs a program as Python does, except that its `import socketio` gives this package.

So does that of the processes that it starts: reloaders and workers begin anew as `python program.py`.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import runpy
import sys
import zipfile
from importlib.machinery import SourceFileLoader
from types import ModuleType

from ._names import install_as_socketio

#: What gives the names to other processes.
STAND_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_stand_in")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _install_for_children() -> None:
    """Has processes that the program starts import this package under the names, too."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != STAND_IN]
    os.environ["PYTHONPATH"] = os.pathsep.join([STAND_IN, *paths])
    # A process that `multiprocessing` spawns has the path of this one.
    if STAND_IN not in sys.path:
        sys.path.insert(1, STAND_IN)


def _run_file(program: str) -> None:
    path = os.path.abspath(program)
    if os.path.isdir(path) or zipfile.is_zipfile(path) or path.endswith(".pyc"):
        runpy.run_path(path, run_name="__main__")
        return
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    # It stays there: threads and functions of `atexit` may need it when the program's last line has run.
    main = ModuleType("__main__")
    main.__dict__.update(
        __file__=path, __builtins__=builtins, __loader__=SourceFileLoader("__main__", path), __package__=None, __cached__=None
    )
    sys.modules["__main__"] = main
    exec(code, main.__dict__)


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
        _install_for_children()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    program = arguments[0]
    if not os.path.exists(program):
        print(f"kokanee: there is no file {program}", file=sys.stderr)
        return 2
    if not os.path.isdir(program):
        sys.path[0] = os.path.dirname(os.path.abspath(program))
    sys.argv = arguments
    _install_for_children()
    _run_file(program)
    return 0
