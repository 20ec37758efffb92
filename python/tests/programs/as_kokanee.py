"""Runs a program whose socketio is this package: `python as_kokanee.py FILE ARGUMENTS...`."""

import runpy
import sys

import kokanee

kokanee.install_as_socketio()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
