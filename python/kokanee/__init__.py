"""Socket.IO for Python on a Rust engine, with python-socketio's API."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _engine, _lifecycle

if TYPE_CHECKING:
    from . import exceptions
    from ._doctor import doctor
    from ._names import install_as_socketio
    from ._run import run
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
    "doctor",
    "exceptions",
    "install_as_socketio",
    "run",
]

#: Names that are imported when a program asks for them, as a program needs few of them: the module of each.
_ON_DEMAND = {
    "ASGIApp": "asgi",
    "AsyncAioPikaManager": "async_aiopika_manager",
    "AsyncManager": "async_manager",
    "AsyncNamespace": "async_namespace",
    "AsyncPubSubManager": "async_pubsub_manager",
    "AsyncRedisManager": "async_redis_manager",
    "AsyncServer": "async_server",
    "KafkaManager": "kafka_manager",
    "KombuManager": "kombu_manager",
    "Manager": "manager",
    "Middleware": "middleware",
    "Namespace": "namespace",
    "PubSubManager": "pubsub_manager",
    "RedisManager": "redis_manager",
    "Server": "server",
    "WSGIApp": "middleware",
    "ZmqManager": "zmq_manager",
    "doctor": "_doctor",
    "get_tornado_handler": "tornado",
    "install_as_socketio": "_names",
    "run": "_run",
}
#: Submodules that are attributes of the package without an import of their own.
_MODULES = (
    "admin",
    "asgi",
    "async_admin",
    "async_aiopika_manager",
    "async_manager",
    "async_namespace",
    "async_redis_manager",
    "async_pubsub_manager",
    "async_server",
    "base_manager",
    "base_namespace",
    "base_server",
    "engineio",
    "exceptions",
    "kafka_manager",
    "kombu_manager",
    "manager",
    "middleware",
    "msgpack_packet",
    "namespace",
    "packet",
    "pubsub_manager",
    "redis_manager",
    "server",
    "static_files",
    "testing",
    "tornado",
    "zmq_manager",
)
#: Names of python-socketio that this package does not have.
_MISSING = (
    "AsyncClient",
    "AsyncClientNamespace",
    "AsyncSimpleClient",
    "Client",
    "ClientNamespace",
    "SimpleClient",
)


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        value = getattr(importlib.import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
        # The next access finds it at once.
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MISSING:
        raise AttributeError(f"Kokanee for Python does not have {name!r} yet, only the server")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND, *_MODULES})


_lifecycle.install()
