"""Is put beside the suite of a published package: the names it imports are Kokanee's."""

import pathlib
import sys

import uvicorn.config

import kokanee

kokanee.install_as_socketio()
sys.path.insert(0, str(pathlib.Path(__file__).parent / "src"))

# The suite's own pages have headers that are texts, which only this implementation takes.
uvicorn.config.HTTP_PROTOCOLS["auto"] = uvicorn.config.HTTP_PROTOCOLS["h11"]
