"""Runs a program of Flask-SocketIO with `kokanee.flask` in its place: `python as_flask_extension.py FILE ARGUMENTS...`."""

import runpy
import sys

if "--threads" not in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import kokanee.flask

sys.modules["flask_socketio"] = kokanee.flask
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
