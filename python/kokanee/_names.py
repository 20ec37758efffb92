"""`install_as_socketio`: `import socketio` and `import engineio`, and their submodules, then give this package's modules.

Each name is an alias of the very module here, so classes are the same under both names. Modules are imported when a program
asks for them.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    # That module imports many others.
    Loader = object

#: The package here that stands for each of the two.
HOMES = {"socketio": "kokanee", "engineio": "kokanee.engineio"}


class _Alias(Loader):
    """Gives a module that has another name."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._spec: Any = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._home)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has run already. The import system has given it the alias's spec.
        module.__spec__ = self._spec


class Finder:
    """Finds the modules of the two packages here. What is not here does not exist."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top not in HOMES:
            return None
        home = f"{HOMES[top]}.{rest}" if rest else HOMES[top]
        found = importlib.util.find_spec(home)
        if found is None:
            return None
        is_package = found.submodule_search_locations is not None
        return importlib.machinery.ModuleSpec(fullname, _Alias(home), is_package=is_package)


def install_as_socketio() -> None:
    """Makes `import socketio` and `import engineio` give this package from now on.

    It must come before the first import of either. Raises `RuntimeError` if another package has been imported under these
    names.
    """
    for name, home in HOMES.items():
        module = sys.modules.get(name)
        if module is not None and module.__name__ != home:
            raise RuntimeError(
                f"{name!r} was imported from {getattr(module, '__file__', None)} already: call "
                "kokanee.install_as_socketio() before that, at the start of the program, or start the program with "
                "python -m kokanee run"
            )
    _add_finder()
    for name in HOMES:
        importlib.import_module(name)


def take_over(name: str) -> None:
    """Puts the module here in the place of the one of this name, which is being imported.

    For the distribution kokanee-socketio. Raises `ImportError` if the packages that own the names are installed, too.
    """
    # It takes longer to import than all of this package.
    import importlib.metadata

    for other in ("python-socketio", "python-engineio"):
        try:
            importlib.metadata.distribution(other)
        except importlib.metadata.PackageNotFoundError:
            continue
        raise ImportError(
            f"kokanee-socketio and {other} are both installed and have packages of the same names. Decide for one: "
            "'pip uninstall python-socketio python-engineio' for Kokanee, or 'pip uninstall kokanee-socketio' and then "
            "'pip install --force-reinstall python-socketio python-engineio'."
        )
    stand_in(name)


def stand_in(name: str) -> None:
    """Puts the module here in the place of the one of this name, which is being imported, whatever is installed."""
    _add_finder()
    # The import gives what is under the name when the module has run.
    sys.modules[name] = importlib.import_module(HOMES[name])


def _add_finder() -> None:
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
