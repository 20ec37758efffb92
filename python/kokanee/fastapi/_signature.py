"""The parameters of a handler: which of them arguments of the event fill, and which FastAPI does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin

from fastapi import BackgroundTasks, Request, Response, UploadFile, WebSocket, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, get_typed_return_annotation, get_typed_signature
from fastapi.exceptions import FastAPIError
from fastapi.security import SecurityScopes
from starlette.background import BackgroundTasks as StarletteBackgroundTasks
from starlette.requests import HTTPConnection

from ._payload import Arguments

#: Types whose values FastAPI provides.
_PROVIDED = (HTTPConnection, BackgroundTasks, StarletteBackgroundTasks, SecurityScopes)


class Signature:
    """Is what the parameters of a handler mean. Raises `TypeError` if one of them cannot be filled."""

    def __init__(self, event: str, handler: Callable[..., Any]) -> None:
        name = getattr(handler, "__qualname__", repr(handler))
        self.where = f"the handler {name} of {event!r}"
        self._handler = handler
        try:
            self._whole = get_typed_signature(handler)
            self.returns = get_typed_return_annotation(handler)
        except (NameError, TypeError, ValueError) as error:
            raise TypeError(f"{self.where}: its annotations cannot be read: {error}") from error
        #: Whether it says what it returns, be it nothing.
        self.says_what_it_returns = _return_annotation(handler) is not inspect.Signature.empty
        provided: list[inspect.Parameter] = []
        taken: list[inspect.Parameter] = []
        for parameter in self._whole.parameters.values():
            self._check(parameter)
            (provided if _is_provided(parameter) else taken).append(parameter)
        self._provided = provided
        #: The parameters that get the socket: FastAPI would fill one of each type.
        self.sockets = tuple(
            each.name for each in provided if _is_kind(_bare(each.annotation), (HTTPConnection,)) and not _has_marker(each)
        )
        self._check_taken(event, taken)
        self.arguments = Arguments(taken, self.where, "auth" if event == "connect" else "args")
        kinds = {parameter.kind for parameter in taken}
        self._by_position = bool(
            kinds & {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL}
        ) or any(each.kind is inspect.Parameter.POSITIONAL_ONLY for each in provided)

    def _check(self, parameter: inspect.Parameter) -> None:
        name, annotation = parameter.name, _bare(parameter.annotation)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            raise TypeError(f"{self.where}: nothing can fill **{name}: an event has no named arguments")
        kinds = [annotation, *get_args(annotation)]
        if any(_is_kind(each, (WebSocket,)) for each in kinds) and not _has_marker(parameter):
            raise TypeError(f"{self.where}: {name!r} is a WebSocket, but an event has none: take Socket or HTTPConnection")
        if any(_is_kind(each, (Response,)) for each in kinds) and not _has_marker(parameter):
            raise TypeError(f"{self.where}: {name!r} is a Response, but an event has none: return the acknowledgement")
        if any(_is_kind(each, (UploadFile,)) for each in kinds) and not _has_marker(parameter):
            raise TypeError(f"{self.where}: {name!r} is an UploadFile, but an event has none: take bytes")
        kind = next((each for each in kinds[1:] if _is_kind(each, _PROVIDED)), None)
        if kind is not None and not _has_marker(parameter):
            raise TypeError(f"{self.where}: {name!r} is {annotation}, of which FastAPI fills none: take {kind.__name__} alone, or leave it out")
        for marker in _markers(parameter):
            if isinstance(marker, (params.Path, params.Form, params.File)):
                kind = type(marker).__name__
                raise TypeError(f"{self.where}: {name!r} is {kind}, but an event has none: take it as an argument")

    def _check_taken(self, event: str, taken: Sequence[inspect.Parameter]) -> None:
        most = {"connect": ("auth",), "disconnect": ("reason",)}.get(event)
        if most is not None and len(taken) > len(most):
            names = ", ".join(parameter.name for parameter in taken)
            raise TypeError(
                f"{self.where} takes {len(taken)} arguments ({names}), but there is only {most[0]!r}: "
                "annotate the others with Socket, Depends, Header, …"
            )
        for parameter in taken:
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                raise TypeError(
                    f"{self.where}: nothing can fill the keyword-only {parameter.name!r}: arguments of events have no "
                    "names; annotate it with Socket, Depends, Header, …"
                )

    def dependant(self, dependencies: Iterable[params.Depends]) -> Dependant:
        """Returns what FastAPI has to provide, for the parameters and for dependencies beside them."""
        first = [
            inspect.Parameter(f"dependency_{index}_", inspect.Parameter.KEYWORD_ONLY, default=depends, annotation=Any)
            for index, depends in enumerate(dependencies)
        ]
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in self._provided]

        def provided() -> None: ...

        # FastAPI reads the signature alone.
        provided.__signature__ = inspect.Signature([*first, *own])  # type: ignore[attr-defined]
        try:
            dependant = get_dependant(path="/", call=provided)
        except (AssertionError, FastAPIError, RuntimeError) as error:
            text = str(error).partition("\n")[0].partition(". ")[0]
            raise TypeError(f"{self.where}: FastAPI cannot read its dependencies: {text}") from error
        names = {argument.name for argument in self.arguments.named}
        for each in _all(dependant):
            self._check_dependency(each, names)
        return dependant

    def _check_dependency(self, dependant: Dependant, names: set[str]) -> None:
        call = getattr(dependant.call, "__qualname__", repr(dependant.call))
        if dependant.websocket_param_name:
            raise TypeError(
                f"{self.where}: the dependency {call} takes a WebSocket, but an event has none: let it take HTTPConnection"
            )
        for field in dependant.path_params:
            raise TypeError(f"{self.where}: the dependency {call} takes {field.name!r} out of the path, but an event has none")
        self._check_connections(dependant, call)
        for field in dependant.body_params:
            if field.name not in names:
                known = ", ".join(sorted(names)) or "none"
                raise TypeError(
                    f"{self.where}: the dependency {call} takes {field.name!r} out of the event, "
                    f"but the handler has no argument of that name (it has: {known})"
                )

    def _check_connections(self, dependant: Dependant, call: str) -> None:
        parameters = get_typed_signature(dependant.call).parameters.values() if dependant.call is not None else ()
        connections = [each for each in parameters if _is_kind(_bare(each.annotation), (HTTPConnection,)) and not _has_marker(each)]
        requests = [each for each in connections if _is_kind(_bare(each.annotation), (Request,))]
        for several in (requests, [each for each in connections if each not in requests]):
            if len(several) > 1:
                names = " and ".join(repr(each.name) for each in several)
                raise TypeError(
                    f"{self.where}: the dependency {call} takes the connection as {names}, of which FastAPI fills the last one: take one"
                )

    def has(self, name: str) -> bool:
        """Returns whether the handler has a parameter of this name."""
        return name in self._whole.parameters

    def call_arguments(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns the values as the handler is called with them: positional ones, and named ones."""
        if not self._by_position:
            return (), values
        bound = inspect.BoundArguments(self._whole, values)  # type: ignore[arg-type]
        return bound.args, bound.kwargs


def _return_annotation(handler: Callable[..., Any]) -> Any:
    return inspect.signature(handler).return_annotation


def _all(dependant: Dependant) -> Iterator[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from _all(each)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_kind(annotation: Any, kinds: tuple[type, ...]) -> bool:
    # In Python 3.10, `list[int]` is a type, too.
    return isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, kinds)


def _markers(parameter: inspect.Parameter) -> list[Any]:
    found = list(get_args(parameter.annotation)[1:]) if get_origin(parameter.annotation) is Annotated else []
    return [*found, parameter.default]


def _has_marker(parameter: inspect.Parameter) -> bool:
    return any(isinstance(marker, params.Depends) for marker in _markers(parameter))


def _is_provided(parameter: inspect.Parameter) -> bool:
    """Returns whether FastAPI fills a parameter. `Body` is what an event's arguments are."""
    if _is_kind(_bare(parameter.annotation), _PROVIDED):
        return True
    return any(isinstance(marker, (params.Depends, params.Param)) for marker in _markers(parameter))
