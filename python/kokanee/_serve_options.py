"""The options of the package's own host, with their defaults; and what an application is."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import inspect
import os
import sys
import traceback
from typing import Any


class StartError(Exception):
    """Says why the host cannot start, for people. `code` is the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class ListenError(OSError):
    """Says why the host cannot listen, or cannot encrypt."""


def report(error: StartError | ListenError) -> int:
    """Prints why the host cannot start, and returns the exit code."""
    if isinstance(error, ListenError):
        sys.stderr.write(f"kokanee: {error.strerror}\n")
        return 1
    if error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    sys.stderr.write(f"kokanee: {error}\n")
    return error.code


@dataclasses.dataclass(frozen=True)
class Options:
    """Are the options of `run`. Times are in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 5000
    #: The path of a Unix socket, in place of host and port.
    uds: str | None = None
    #: Processes that serve. More than one share the socket.
    workers: int = 1
    #: Threads that run a WSGI application, at most. They are started as requests wait.
    threads: int = 64
    #: The event loop for ASGI: `auto` is uvloop if that is installed.
    loop: str = "auto"
    #: What the application is: `wsgi`, `asgi`, or `auto` to find out.
    interface: str = "auto"
    #: Whether an ASGI application gets lifespan events: `on`, `off`, or `auto` if it takes them.
    lifespan: str = "auto"
    #: The certificate chain and the key, two PEM files.
    certfile: str | None = None
    keyfile: str | None = None
    #: The path at which a proxy has mounted the application.
    root_path: str = ""
    #: Proxies whose `X-Forwarded-For`, `-Proto` and `-Host`, or `Forwarded`, are believed.
    trusted_proxies: tuple[str, ...] = ()
    max_request_size: int = 100_000_000
    #: How long the body of a request may make no progress.
    body_timeout: float = 30.0
    #: Requests that may wait for the application; one more is answered with 503.
    backlog: int = 2048
    #: How long requests may take after SIGTERM or SIGINT.
    graceful_timeout: float = 10.0
    access_log: bool = False
    #: Starts anew when a file of the program changes.
    reload: bool = False
    #: The name is that of a function that makes the application.
    factory: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.trusted_proxies, str):
            names = tuple(name.strip() for name in self.trusted_proxies.split(",") if name.strip())
            object.__setattr__(self, "trusted_proxies", names)
        for field in dataclasses.fields(self):
            _check_type(field.name, str(field.type), getattr(self, field.name))
        _check_choice("loop", self.loop, ("auto", "asyncio", "uvloop"))
        _check_choice("interface", self.interface, ("auto", "wsgi", "asgi"))
        _check_choice("lifespan", self.lifespan, ("auto", "on", "off"))
        for name in ("workers", "threads", "backlog"):
            if getattr(self, name) < 1:
                raise StartError(f"{name} is at least 1, not {getattr(self, name)}", 2)
        if not 0 <= self.port < 65536:
            raise StartError(f"port is a number from 0 to 65535, not {self.port}", 2)
        if (self.certfile is None) != (self.keyfile is None):
            raise StartError("certfile and keyfile go together", 2)
        for path in (self.certfile, self.keyfile):
            if path is not None and not os.path.isfile(path):
                raise StartError(f"there is no file {path}", 2)
        if self.uds is not None and len(os.fsencode(self.uds)) > 100:
            raise StartError(f"the path of a Unix socket has at most 100 bytes: {self.uds}", 2)
        if self.reload and self.workers > 1:
            raise StartError("reload is for one worker", 2)
        for name in ("max_request_size", "body_timeout", "graceful_timeout"):
            if getattr(self, name) < 0:
                raise StartError(f"{name} is not negative: {getattr(self, name)}", 2)
        for name in ("host", "uds"):
            if getattr(self, name) == "":
                raise StartError(f"{name} is not empty", 2)
        root = self.root_path.strip("/")
        object.__setattr__(self, "root_path", f"/{root}" if root else "")

    @property
    def url(self) -> str:
        """The address for people."""
        if self.uds is not None:
            return f"unix:{self.uds}"
        scheme = "https" if self.certfile else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


#: What an option of a type is, for people, and what it may be.
_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "str": ("a text", (str,)),
    "str | None": ("a text", (str, type(None))),
    "int": ("a whole number", (int,)),
    "float": ("a number of seconds", (int, float)),
    "bool": ("True or False", (bool,)),
    "tuple[str, ...]": ("a text with commas, or a list of texts", (tuple, list)),
}


def _check_type(name: str, kind: str, value: Any) -> None:
    meant, types = _TYPES[kind]
    fits = isinstance(value, types) and (kind == "bool" or not isinstance(value, bool))
    if fits and isinstance(value, (tuple, list)):
        fits = all(isinstance(each, str) for each in value)
    if not fits:
        raise StartError(f"{name} is {meant}, not {value!r}", 2)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise StartError(f"{name} is one of {', '.join(choices)}, not {value!r}", 2)


def make_options(given: dict[str, Any]) -> Options:
    """Returns the options of a call. Raises `TypeError` for unknown ones."""
    known = [field.name for field in dataclasses.fields(Options)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"run() has no option {name!r}{hint}")
    return Options(**given)


def load(name: str, factory: bool) -> Any:
    """Returns the application of `module:attribute`; of `module:function()`, or with `factory`, what the function returns."""
    module_name, _, attribute = name.partition(":")
    if module_name.endswith(".py"):
        module_name = module_name[:-3].replace(os.sep, ".")
    if attribute.endswith("()"):
        attribute, factory = attribute[:-2], True
    attribute = attribute or "app"
    if not module_name:
        raise StartError(f"{name!r}: say module:attribute", 2)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only if it is the module itself, not one that it imports.
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(f"{missing}."):
            raise
        raise StartError(f"there is no module {missing!r} in {os.getcwd()} or on Python's path") from None
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise StartError(f"{module_name!r} has no attribute {attribute!r}{_hint(found)}") from None
    if factory:
        if not callable(found):
            raise StartError(f"{name!r} is not a function that makes an application")
        found = found()
    return found


def _hint(module: Any) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (hasattr(value, "handle_request") or (callable(value) and not inspect.isroutine(value)))
        and not isinstance(value, type)
    ]
    return f"; it has {', '.join(sorted(names)[:5])}" if names else ""


def interface_of(app: Any, given: str = "auto") -> str:
    """Returns `wsgi` or `asgi` for an application, as it is `given` if that is not `auto`. Raises `StartError` if it is neither."""
    from . import asgi, middleware

    if isinstance(app, asgi.ASGIApp):
        return "asgi"
    if isinstance(app, middleware.WSGIApp):
        return "wsgi"
    if isinstance(app, type) and type(app).__call__ is type.__call__:
        return _interface_of_class(app)
    if given != "auto":
        return given
    if not callable(app):
        raise StartError(f"{app!r} is not an application: it cannot be called")
    call = app if inspect.isroutine(app) else type(app).__call__
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call):
        return "asgi"
    try:
        inspect.signature(app).bind(1, 2, 3)
    except (TypeError, ValueError):
        pass
    else:
        try:
            inspect.signature(app).bind(1, 2)
        except (TypeError, ValueError):
            return "asgi"
        return "wsgi"
    try:
        inspect.signature(app).bind(1, 2)
    except TypeError:
        raise StartError(
            f"{app!r} is not an application: WSGI calls it with (environ, start_response), ASGI with (scope, receive, send). "
            "Is it a function that makes one? Then add () to its name, or --factory"
        ) from None
    except ValueError:
        pass
    return "wsgi"


def _interface_of_class(app: type) -> str:
    """Returns `wsgi` or `asgi` for a class each of whose instances answers one request: that is iterated over (PEP 3333), or awaited."""
    for interface, count, method in (("wsgi", 2, "__iter__"), ("asgi", 3, "__await__")):
        if hasattr(app, method):
            with contextlib.suppress(TypeError, ValueError):
                inspect.signature(app).bind(*range(count))
                return interface
    name = f"{app.__module__}:{app.__qualname__}"
    raise StartError(f"{name} is a class, not an application: give an instance of it, as with {app.__name__}()")


def choose_loop(name: str) -> Any:
    """Returns the function that makes an event loop; `None` for asyncio's own."""
    if name != "asyncio":
        try:
            import uvloop
        except ImportError:
            if name == "uvloop":
                raise StartError("loop='uvloop' needs the package uvloop") from None
        else:
            return uvloop.new_event_loop
    return None


def python_path() -> None:
    """Puts the current folder first among those of modules."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
