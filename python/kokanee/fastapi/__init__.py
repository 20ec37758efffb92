"""Socket.IO for FastAPI: handlers with dependencies, Pydantic models as arguments and answers, and documents of the events."""

from ._app import SocketIO
from ._events import Event, Question
from ._operation import ExceptionHandler
from ._router import SocketRouter
from ._socket import Sid, Socket

__all__ = ["Event", "ExceptionHandler", "Question", "Sid", "Socket", "SocketIO", "SocketRouter"]
