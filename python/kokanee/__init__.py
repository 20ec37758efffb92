"""Socket.IO for Python on a Rust engine, with python-socketio's API."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import exceptions
    from ._engine import __version__ as __version__
    from ._doctor import doctor
    from ._names import install_as_socketio
    from ._run import run
    from .asgi import ASGIApp
    from .async_client import AsyncClient
    from .async_client_namespace import AsyncClientNamespace
    from .async_manager import AsyncManager
    from .async_namespace import AsyncNamespace
    from .async_server import AsyncServer
    from .async_simple_client import AsyncSimpleClient
    from .client import Client
    from .client_namespace import ClientNamespace
    from .manager import Manager
    from .middleware import Middleware, WSGIApp
    from .namespace import Namespace
    from .server import Server
    from .simple_client import SimpleClient

__all__ = [
    "ASGIApp",
    "AsyncClient",
    "AsyncClientNamespace",
    "AsyncManager",
    "AsyncNamespace",
    "AsyncServer",
    "AsyncSimpleClient",
    "Client",
    "ClientNamespace",
    "Manager",
    "Middleware",
    "Namespace",
    "Server",
    "SimpleClient",
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
    "AsyncClient": "async_client",
    "AsyncClientNamespace": "async_client_namespace",
    "AsyncManager": "async_manager",
    "AsyncNamespace": "async_namespace",
    "AsyncPubSubManager": "async_pubsub_manager",
    "AsyncRedisManager": "async_redis_manager",
    "AsyncServer": "async_server",
    "AsyncSimpleClient": "async_simple_client",
    "Client": "client",
    "ClientNamespace": "client_namespace",
    "KafkaManager": "kafka_manager",
    "KombuManager": "kombu_manager",
    "Manager": "manager",
    "Middleware": "middleware",
    "Namespace": "namespace",
    "PubSubManager": "pubsub_manager",
    "RedisManager": "redis_manager",
    "Server": "server",
    "SimpleClient": "simple_client",
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
    "async_client",
    "async_client_namespace",
    "async_manager",
    "async_namespace",
    "async_redis_manager",
    "async_pubsub_manager",
    "async_server",
    "async_simple_client",
    "base_client",
    "base_manager",
    "base_namespace",
    "base_server",
    "client",
    "client_namespace",
    "engineio",
    "exceptions",
    "fastapi",
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
    "simple_client",
    "static_files",
    "testing",
    "tornado",
    "zmq_manager",
)


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        value = getattr(importlib.import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
        # The next access finds it at once.
        globals()[name] = value
        return value
    if name == "__version__":
        return importlib.import_module(f"{__name__}._engine").__version__
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND, *_MODULES})

