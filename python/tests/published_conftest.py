"""Is put beside the suite of a published package: the names it imports are Kokanee's."""

import pathlib
import sys

import kokanee

kokanee.install_as_socketio()
sys.path.insert(0, str(pathlib.Path(__file__).parent / "src"))
