"""Values on their way between the wire and Python types: arguments of events are validated, what is sent is serialized.

Pydantic does both. Bytes stay bytes in either direction, as Socket.IO sends them beside the JSON.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Hashable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, cast

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, ValidationError, to_jsonable_python

#: Errors that an answer lists at most, as a client decides how many there are.
MOST_ERRORS = 50

#: Errors that are looked at. Of more, only their number is said.
MOST_KNOWN_ERRORS = 1000

#: Types that are sent as they are.
_PLAIN = frozenset((NoneType, bool, int, float, str, bytes))

#: Stands for a value that is not valid.
INVALID = object()

Location = tuple[int | str, ...]


class Codec:
    """Validates and serializes the values of one type."""

    def __init__(self, annotation: Any, where: str) -> None:
        """Raises `TypeError`, which names `where` the type stands, if Pydantic cannot handle the type."""
        self.annotation = annotation
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            schema = self.adapter.json_schema(mode="serialization")
            self.adapter.json_schema(mode="validation")
        except (PydanticUserError, NameError) as error:
            text = str(error).partition("\n")[0]
            raise TypeError(f"{where} has the type {annotation!r}, which cannot be sent: {text}") from error
        #: Whether bytes are somewhere in it, or may be, as nothing is known of it.
        self._has_bytes = _mentions_bytes(schema)

    def validate(self, value: Any, location: Location, errors: list[dict[str, Any]]) -> Any:
        """Returns a value of the type. Of one that is not, adds what is wrong to the errors, and returns `INVALID`."""
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            add_errors(errors, error, location)
            return INVALID

    def serialize(self, value: Any) -> Any:
        """Returns what is sent for a value. Raises pydantic's `ValidationError` if it is not of the type."""
        if type(value) in _PLAIN and self.annotation is Any:
            return value
        return self.dump(self.adapter.validate_python(value, from_attributes=True))

    def dump(self, value: Any) -> Any:
        """Returns what is sent for a value that is of the type."""
        if not self._has_bytes:
            return self.adapter.dump_python(value, mode="json", by_alias=True)
        return sendable(self.adapter.dump_python(value, by_alias=True))


def _mentions_bytes(schema: Any) -> bool:
    if isinstance(schema, dict):
        if schema.get("format") in ("binary", "base64url") or not schema.keys() - {"title", "description", "default"}:
            return True
        return any(_mentions_bytes(value) for value in schema.values())
    return isinstance(schema, list) and any(map(_mentions_bytes, schema))


def sendable(value: Any) -> Any:
    """Returns what is sent for a value of any type: models and others in the form of JSON, with bytes as they are."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, BaseModel) or hasattr(type(value), "__dataclass_fields__"):
        return _codec_of(cast(Hashable, type(value))).dump(value)
    if isinstance(value, enum.Enum):
        return sendable(value.value)
    if isinstance(value, Mapping):
        return {_key(key): sendable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [sendable(each) for each in value]
    return to_jsonable_python(value)


@functools.lru_cache(maxsize=1024)
def _codec_of(kind: Hashable) -> Codec:
    return Codec(kind, "a value that is sent")


def _key(key: Any) -> Any:
    return key if isinstance(key, str) else str(to_jsonable_python(key))


def add_errors(errors: list[dict[str, Any]], error: ValidationError, location: Location) -> None:
    """Adds the errors of a value in the form of FastAPI's, without the value, which the client knows."""
    if error.error_count() > MOST_KNOWN_ERRORS:
        # Each would cost far more memory than what the client has sent for it.
        message = f"{error.error_count()} values are not valid"
        errors.append({"type": "too_many_errors", "loc": list(location), "msg": message})
        return
    for each in error.errors(include_url=False, include_input=False)[:MOST_ERRORS]:
        errors.append(plain_error({**each, "loc": (*location, *each["loc"])}))


def plain_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an error with what a client gets of it."""
    plain = {key: error[key] for key in ("type", "loc", "msg") if key in error}
    plain["loc"] = list(plain.get("loc", ()))
    if error.get("ctx"):
        plain["ctx"] = to_jsonable_python(error["ctx"], fallback=str, bytes_mode="base64", inf_nan_mode="strings")
    return plain


class Argument:
    """Is a parameter of a handler that an argument of the event fills."""

    def __init__(self, parameter: inspect.Parameter, where: str) -> None:
        self.name = parameter.name
        annotation = Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation
        default = parameter.default
        #: What it is if the event does not have it: a function that makes it, as a default may be made for each call.
        self.default: Any = None
        self.is_required = default is inspect.Parameter.empty
        if isinstance(default, FieldInfo):
            annotation = Annotated[annotation, default]
            self.is_required = default.is_required()
            field = default
            self.default = lambda: field.get_default(call_default_factory=True, validated_data={})
        elif not self.is_required:
            self.default = lambda: default
        self.codec = Codec(annotation, f"{where}: the argument {parameter.name!r}")


class Arguments:
    """Validates the arguments of an event for the parameters of a handler."""

    def __init__(self, parameters: Sequence[inspect.Parameter], where: str, root: str = "args") -> None:
        self._root = root
        self.named = [
            Argument(each, where) for each in parameters if each.kind is not inspect.Parameter.VAR_POSITIONAL
        ]
        rest = [each for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL]
        #: The parameter that takes all others.
        self.rest = Argument(rest[0].replace(default=inspect.Parameter.empty), where) if rest else None

    def location(self, index: int) -> Location:
        """Returns where the errors of an argument are said to be: `("args", 0)`, and `("auth",)` at connect."""
        return (self._root, index) if self._root == "args" else (self._root,)

    def validate(self, args: Sequence[Any], errors: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns the valid values by the names of the parameters, and adds what is wrong with others to the errors."""
        values: dict[str, Any] = {}
        for index, argument in enumerate(self.named):
            location = self.location(index)
            if index < len(args):
                value = argument.codec.validate(args[index], location, errors)
                if value is not INVALID:
                    values[argument.name] = value
            elif argument.is_required:
                errors.append({"type": "missing", "loc": list(location), "msg": "Field required"})
            else:
                values[argument.name] = argument.default()
        count = len(self.named)
        if self.rest is not None:
            rest = enumerate(args[count:], count)
            values[self.rest.name] = tuple(
                self.rest.codec.validate(value, self.location(index), errors) for index, value in rest
            )
        elif len(args) > count:
            message = f"Unexpected argument: the event takes {count}"
            errors.append({"type": "unexpected_argument", "loc": list(self.location(count)), "msg": message})
        return values

    def by_name(self, args: Sequence[Any]) -> dict[str, Any]:
        """Returns the arguments as they came, by the names of the parameters: what dependencies take as a body."""
        return dict(zip((argument.name for argument in self.named), args))


class Result:
    """Serializes what a handler returns, or the arguments of an event that is emitted."""

    def __init__(self, types: Sequence[Any], where: str) -> None:
        self.codecs = [Codec(each, where) for each in types]

    def serialize(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Returns the arguments to send. Raises `TypeError` or `ValueError` if they are not of the types."""
        if len(values) != len(self.codecs):
            raise TypeError(f"{len(self.codecs)} values are to be sent, not {len(values)}")
        return tuple(codec.serialize(value) for codec, value in zip(self.codecs, values))
