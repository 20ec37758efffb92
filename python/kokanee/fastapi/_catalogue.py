"""The events of a `SocketIO` with the JSON schemas of their types: what the AsyncAPI document and the TypeScript declaration show."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from ._events import Declared
from ._operation import Handler, Operation
from ._payload import Arguments, Codec, Result
from ._router import LIFECYCLE, SocketRouter
from ._security import Scheme, schemes_of

#: Which way a value goes: from a client, or to one.
Mode = Literal["validation", "serialization"]

REF = "#/components/schemas/{model}"

Schema = dict[str, Any]


@dataclasses.dataclass
class Value:
    """Is an argument of an event, or a value of an acknowledgement."""

    name: str
    schema: Schema
    is_required: bool = True


@dataclasses.dataclass
class Shown:
    """Is an event, in either direction."""

    name: str
    summary: str
    description: str
    values: list[Value]
    #: What may come after the values, any number of times.
    rest: Value | None
    #: The values of the acknowledgement; `None` if nothing is known of them.
    answer: list[Value] | None
    #: The names of the security schemes that it needs.
    security: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Space:
    """Is a namespace: what it receives, what it emits, and what it takes for joining."""

    name: str
    received: list[Shown] = dataclasses.field(default_factory=list)
    emitted: list[Shown] = dataclasses.field(default_factory=list)
    auth: Value | None = None


class Catalogue:
    """Is what clients have to know of the events of a `SocketIO`."""

    def __init__(self, routers: Iterable[SocketRouter]) -> None:
        self._inputs: list[tuple[str, Mode, TypeAdapter[Any]]] = []
        self._values: list[tuple[Value, str, Mode]] = []
        #: FastAPI's security schemes that handlers need, by their names.
        self.security: dict[str, Scheme] = {}
        spaces: dict[str, Space] = {}
        for router in routers:
            # Of a namespace whose name is not known, nothing can be said.
            if router.full_namespace == "*":
                continue
            space = spaces.setdefault(router.full_namespace, Space(router.full_namespace))
            entrance = router.entrance
            joining = self._security_of(entrance.operation if entrance is not None else None)
            for handler in router.handlers.values():
                self._add_handler(space, handler, joining + self._security_of(router.operations.get(handler.event)))
            space.emitted.extend(map(self._emitted, router.events.values()))
        self.spaces = [space for space in spaces.values() if space.received or space.emitted or space.auth]
        #: The schemas of models, by their names.
        self.schemas: dict[str, Schema] = {}
        self._fill()

    def _security_of(self, operation: Operation | None) -> list[str]:
        schemes = {} if operation is None else dict(schemes_of(operation.dependant))
        self.security.update(schemes)
        return list(schemes)

    def _add_handler(self, space: Space, handler: Handler, security: list[str]) -> None:
        arguments = handler.signature.arguments
        if handler.event == "connect" and arguments.named:
            space.auth = self._taken(arguments)[0]
        elif handler.event not in (*LIFECYCLE, "*"):
            event = self._received(handler, arguments)
            event.security = list(dict.fromkeys(security))
            space.received.append(event)

    def _received(self, handler: Handler, arguments: Arguments) -> Shown:
        rest = arguments.rest
        return Shown(
            handler.event,
            handler.summary,
            handler.description,
            self._taken(arguments),
            None if rest is None else self._value(rest.name, rest.codec, "validation"),
            self._answer(handler.result, "serialization"),
        )

    def _emitted(self, event: Declared) -> Shown:
        summary = event.name.replace("_", " ").capitalize()
        values = self._answer(event.arguments, "serialization") or []
        return Shown(event.name, summary, event.description, values, None, self._answer(event.answer, "validation"))

    def _taken(self, arguments: Arguments) -> list[Value]:
        return [self._value(each.name, each.codec, "validation", each.is_required) for each in arguments.named]

    def _answer(self, result: Result | None, mode: Mode) -> list[Value] | None:
        if result is None:
            return None
        return [self._value(_name_of(codec, result.codecs), codec, mode) for codec in result.codecs]

    def _value(self, name: str, codec: Codec, mode: Mode, is_required: bool = True) -> Value:
        key = str(len(self._inputs))
        self._inputs.append((key, mode, codec.adapter))
        value = Value(name, {}, is_required)
        self._values.append((value, key, mode))
        return value

    def _fill(self) -> None:
        """Makes all schemas at once, as only then models of the same name get different ones."""
        if not self._inputs:
            return
        schemas, definitions = TypeAdapter.json_schemas(self._inputs, ref_template=REF, schema_generator=_Generator)
        for value, key, mode in self._values:
            value.schema = schemas[key, mode]
        self.schemas = definitions.get("$defs", {})


class _Generator(GenerateJsonSchema):
    """Makes JSON schemas in which what is sent has all fields, as fields with defaults are sent, too."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Returns whether a field is always there."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return not field.get("serialization_exclude") and "serialization_exclude_if" not in field
        return super().field_is_required(field, total)


def unused(name: str, names: Container[str]) -> str:
    """Returns a name that is not one of these: with a number if it is."""
    number, free = 1, name
    while free in names:
        number += 1
        free = f"{name}{number}"
    return free


def _name_of(codec: Codec, codecs: Sequence[Codec]) -> str:
    if len(codecs) == 1:
        return "data"
    return f"value{list(codecs).index(codec) + 1}"


#: What a client gets if its event has failed; see `Failure`.
ERROR_DETAIL: Schema = {
    "title": "ErrorDetail",
    "type": "object",
    "description": "What is wrong with one value.",
    "properties": {
        "type": {"type": "string", "description": "The kind of the error, as Pydantic names it."},
        "loc": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "Where the value is: `[\"args\", 0, \"text\"]` is the field `text` of the first argument.",
        },
        "msg": {"type": "string", "description": "A text for people."},
        "ctx": {"type": "object", "additionalProperties": True, "description": "Limits that the text names."},
    },
    "required": ["type", "loc", "msg"],
}
_FAILURE_FIELDS: Schema = {
    "status": {"type": "integer", "description": "A status of HTTP; 422 for values that are not valid."},
    "detail": {
        "description": "A text, or with status 422 what is wrong.",
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"$ref": REF.format(model="ErrorDetail")}},
            {"type": "object", "additionalProperties": True},
        ],
    },
}
EVENT_FAILURE: Schema = {
    "title": "EventFailure",
    "type": "object",
    "properties": _FAILURE_FIELDS,
    "required": ["status", "detail"],
}
#: The acknowledgement of an event that has failed.
EVENT_ERROR: Schema = {
    "title": "EventError",
    "type": "object",
    "description": "The acknowledgement of an event that has failed.",
    "properties": {"error": {"$ref": REF.format(model="EventFailure")}},
    "required": ["error"],
}
#: What is emitted for an event that has failed, without an acknowledgement.
UNANSWERED_FAILURE: Schema = {
    "title": "UnansweredFailure",
    "type": "object",
    "description": "Says which event has failed, to a client that has not asked for an acknowledgement.",
    "properties": {"event": {"type": "string", "description": "The event that has failed."}, **_FAILURE_FIELDS},
    "required": ["event", "status", "detail"],
}
FAILURES = {
    "ErrorDetail": ERROR_DETAIL,
    "EventFailure": EVENT_FAILURE,
    "EventError": EVENT_ERROR,
    "UnansweredFailure": UNANSWERED_FAILURE,
}
