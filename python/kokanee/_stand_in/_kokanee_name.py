"""Gives a name to Kokanee in processes that a program run by `python -m kokanee run` starts: this folder is on their path."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys


def take(name: str) -> None:
    """Puts Kokanee's module in the place of the one that is being imported."""
    if importlib.util.find_spec("kokanee") is not None:
        from kokanee import _names

        _names.stand_in(name)
        return
    # Another Python, which may have the published package.
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]
    del sys.modules[name]
    importlib.import_module(name)
