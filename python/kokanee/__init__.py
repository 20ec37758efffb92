"""Socket.IO for Python on a Rust engine, with python-socketio's API."""

from __future__ import annotations

import atexit
import os

from . import _engine, exceptions
from .asgi import ASGIApp
from .async_manager import AsyncManager
from .async_namespace import AsyncNamespace
from .async_server import AsyncServer
from .manager import Manager
from .middleware import Middleware, WSGIApp
from .namespace import Namespace
from .server import Server

__version__ = _engine.__version__
__all__ = [
    "ASGIApp",
    "AsyncManager",
    "AsyncNamespace",
    "AsyncServer",
    "Manager",
    "Middleware",
    "Namespace",
    "Server",
    "WSGIApp",
    "exceptions",
]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_engine.after_fork)
atexit.register(_engine.shutdown)
