"""Socket.IO for Python on a Rust engine, with python-socketio's API."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _engine, _lifecycle, exceptions
from ._names import install_as_socketio
from .asgi import ASGIApp
from .async_manager import AsyncManager
from .async_namespace import AsyncNamespace
from .async_server import AsyncServer
from .manager import Manager
from .middleware import Middleware, WSGIApp
from .namespace import Namespace
from .server import Server

if TYPE_CHECKING:
    from ._doctor import doctor

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
]

#: Names that are imported when a program asks for them: the module of each.
_ON_DEMAND = {
    "AsyncAioPikaManager": "async_aiopika_manager",
    "AsyncPubSubManager": "async_pubsub_manager",
    "AsyncRedisManager": "async_redis_manager",
    "KafkaManager": "kafka_manager",
    "KombuManager": "kombu_manager",
    "PubSubManager": "pubsub_manager",
    "RedisManager": "redis_manager",
    "ZmqManager": "zmq_manager",
    "doctor": "_doctor",
    "get_tornado_handler": "tornado",
}
#: Submodules that are attributes of the package without an import of their own.
_MODULES = (
    "admin",
    "async_admin",
    "async_aiopika_manager",
    "async_pubsub_manager",
    "async_redis_manager",
    "kafka_manager",
    "kombu_manager",
    "msgpack_packet",
    "pubsub_manager",
    "redis_manager",
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
        return getattr(importlib.import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MISSING:
        raise AttributeError(f"Kokanee for Python does not have {name!r} yet, only the server")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_lifecycle.install()
