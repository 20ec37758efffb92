"""The name `socketio` for Kokanee."""

from kokanee import _names

# From here on the name is that of Kokanee's module, with all submodules.
_names.take_over(__name__)
