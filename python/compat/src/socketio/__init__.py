"""The name `socketio` for Kokanee."""

import importlib.metadata as _metadata
import sys as _sys

for _name in ("python-socketio", "python-engineio"):
    try:
        _metadata.distribution(_name)
    except _metadata.PackageNotFoundError:
        continue
    raise ImportError(
        f"kokanee-socketio and {_name} are both installed and have packages of the same names. Decide for one: "
        f"'pip uninstall python-socketio python-engineio' for Kokanee, or 'pip uninstall kokanee-socketio' and then "
        f"'pip install --force-reinstall python-socketio python-engineio'."
    )

import kokanee as _kokanee

# From here on the name is that of Kokanee's module, with all submodules.
_kokanee._names.take_over(__name__)
