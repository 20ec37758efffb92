"""Socket.IO for FastAPI: handlers with dependencies, Pydantic models as arguments and answers, and documents of the events."""

try:
    import fastapi as _fastapi  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError("kokanee.fastapi needs FastAPI: pip install fastapi", name=_error.name) from None

from ._app import SocketIO
from ._events import Event, Question
from ._operation import ExceptionHandler
from ._router import SocketRouter
from ._socket import Sid, Socket

__all__ = ["Event", "ExceptionHandler", "Question", "Sid", "Socket", "SocketIO", "SocketRouter"]
