"""The TypeScript declaration of a `SocketIO`: its models, and its events for the generics of socket.io-client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from ._catalogue import FAILURES, Catalogue, Schema, Shown, Space, Value, unused

HEAD = """\
// Made by `python -m kokanee typescript`. For socket.io-client:
//
//   import { io, type Socket } from "socket.io-client";
//   const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io();
"""

#: Bytes: an ArrayBuffer in browsers, a Buffer in Node.js.
BINARY = "export type Binary = ArrayBuffer | Uint8Array;\n"

_RESERVED = frozenset(
    (
        *("arguments", "await", "break", "case", "catch", "class", "const", "continue", "debugger", "default"),
        *("delete", "do", "else", "enum", "eval", "export", "extends", "false", "finally", "for", "function"),
        *("if", "implements", "import", "in", "instanceof", "interface", "let", "new", "null", "package"),
        *("private", "protected", "public", "return", "static", "super", "switch", "this", "throw", "true"),
        *("try", "typeof", "var", "void", "while", "with", "yield", "callback"),
    )
)
_OWN_NAMES = frozenset(("Binary", "ArrayBuffer", "Uint8Array"))


def declaration(catalogue: Catalogue, error_event: str | None) -> str:
    """Returns the text of a module that declares the types."""
    return "\n".join(Module(catalogue, error_event).parts())


class Module:
    """Is the module with the types: as a whole, and in parts for the page."""

    def __init__(self, catalogue: Catalogue, error_event: str | None) -> None:
        self._catalogue = catalogue
        self._error_event = error_event
        self._schemas = {**FAILURES, **catalogue.schemas}
        #: The names of models in TypeScript.
        self._names: dict[str, str] = {}
        for model in self._schemas:
            name = re.sub(r"\W+", "", model) or "Model"
            name = f"_{name}" if name[0].isdigit() else name
            name = f"{name}_" if _is_own(name) else name
            self._names[model] = unused(name, self._names.values())
        self.names = frozenset(self._names.values())

    def parts(self) -> Iterator[str]:
        """Returns the texts that follow each other."""
        yield HEAD
        yield BINARY
        for _, text in self.models():
            yield text
        prefixes: list[str] = []
        for space in self._catalogue.spaces:
            prefix = unused(_prefix(space.name), prefixes)
            prefixes.append(prefix)
            if space.auth is not None:
                comment = f"/** What a client sends as `auth` to join {space.name}. */\n"
                yield f"{comment}export type {prefix}Auth = {self.type_of(space.auth.schema)};\n"
            yield self._server_to_client(prefix, space)
            yield self._client_to_server(prefix, space)

    # Models.

    def models(self) -> Iterator[tuple[str, str]]:
        """Returns the names of the models, and their declarations."""
        for model, schema in self._schemas.items():
            yield self._names[model], self._model(self._names[model], schema)

    def _model(self, name: str, schema: Schema) -> str:
        comment = _comment(schema.get("description"), "")
        if "properties" in schema and schema.get("type") == "object" and not schema.get("additionalProperties"):
            return f"{comment}export interface {name} {self._fields(schema)}\n"
        return f"{comment}export type {name} = {self.type_of(schema)};\n"

    def _fields(self, schema: Schema) -> str:
        required = set(schema.get("required", ()))
        lines = []
        for key, each in schema["properties"].items():
            mark = "" if key in required else "?"
            lines.append(f"{_comment(each.get('description'), '  ')}  {_key(key)}{mark}: {self.type_of(each)};\n")
        return "{\n" + "".join(lines) + "}" if lines else "{}"

    def type_of(self, schema: Schema | bool) -> str:
        """Returns the type for a JSON schema; `unknown` for what TypeScript cannot say."""
        if isinstance(schema, bool) or not schema:
            return "unknown"
        if "$ref" in schema:
            return self._names[str(schema["$ref"]).rsplit("/", 1)[-1]]
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return " | ".join(json.dumps(each) for each in schema["enum"])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return _union(self.type_of(each) for each in schema[key])
        if "allOf" in schema:
            return " & ".join(_grouped(self.type_of(each)) for each in schema["allOf"])
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union(self.type_of({**schema, "type": each}) for each in kind)
        if kind == "string":
            return "Binary" if schema.get("format") == "binary" else "string"
        if kind == "array":
            return self._list(schema)
        if kind == "object":
            return self._object(schema)
        return {"integer": "number", "number": "number", "boolean": "boolean", "null": "null"}.get(str(kind), "unknown")

    def _list(self, schema: Schema) -> str:
        items = schema.get("items")
        if "prefixItems" not in schema:
            return f"{_grouped(self.type_of(items if items is not None else {}))}[]"
        first = [self.type_of(each) for each in schema["prefixItems"]]
        if items:
            first.append(f"...{_grouped(self.type_of(items))}[]")
        return f"[{', '.join(first)}]"

    def _object(self, schema: Schema) -> str:
        rest = schema.get("additionalProperties")
        patterns = schema.get("patternProperties")
        if patterns:
            rest = {"anyOf": list(patterns.values())}
        parts = []
        if "properties" in schema:
            parts.append(self._fields(schema))
        if rest or not parts:
            value = self.type_of(rest if rest is not None else {})
            keys = self.type_of(schema.get("propertyNames", {}))
            if keys in ("string", "unknown"):
                parts.append(f"{{ [key: string]: {value} }}")
            else:
                # Of a closed set of keys, some may be missing.
                parts.append(f"{{ [key in {keys}]?: {value} }}")
        return " & ".join(parts)

    # Events.

    def _server_to_client(self, prefix: str, space: Space) -> str:
        lines = []
        for event in space.emitted:
            callback = None
            if event.answer is not None:
                callback = f"(answer: {self.type_of(event.answer[0].schema)}) => void"
            lines.append(self._event(event, callback, is_answered=True))
        if self._error_event is not None:
            text = "Says which event has failed, if it was sent without a callback."
            lines.append(
                f"{_comment(text, '  ')}  {_key(self._error_event)}: (failure: {self._names['UnansweredFailure']}) => void;\n"
            )
        return f"/** What the server emits in {space.name}. */\nexport interface {prefix}ServerToClientEvents {{\n{''.join(lines)}}}\n"

    def _client_to_server(self, prefix: str, space: Space) -> str:
        lines = [self._event(event, *self._callback(event)) for event in space.received]
        return f"/** What clients emit in {space.name}. */\nexport interface {prefix}ClientToServerEvents {{\n{''.join(lines)}}}\n"

    def _callback(self, event: Shown) -> tuple[str, bool]:
        """Returns the type of the callback for an acknowledgement, and whether there has to be one."""
        error = self._names["EventError"]
        if event.answer is None:
            return "(answer: unknown) => void", False
        if not event.answer:
            return f"(error?: {error}) => void", False
        if len(event.answer) == 1:
            return f"(answer: {_union((self.type_of(event.answer[0].schema), error))}) => void", True
        answers = ", ".join(self.type_of(each.schema) for each in event.answer)
        return f"(...answer: [{answers}] | [{error}]) => void", True

    def _event(self, event: Shown, callback: str | None, is_answered: bool) -> str:
        head = f"{_comment(event.description, '  ')}  {_key(event.name)}: "
        values = [(_parameter(value.name), self.type_of(value.schema), value.is_required) for value in event.values]
        rest = event.rest
        if callback is not None and (rest is not None or (is_answered and not all(each[2] for each in values))):
            # Before a callback that is there, TypeScript has neither optional nor rest parameters.
            forms = _forms(values, None if rest is None else (_parameter(rest.name), self.type_of(rest.schema)), callback)
            if not is_answered:
                forms += _forms(values, None if rest is None else (_parameter(rest.name), self.type_of(rest.schema)), None)
            return f"{head}(...args: {' | '.join(forms)}) => void;\n"
        parameters = [f"{name}{'' if is_required else '?'}: {kind}" for name, kind, is_required in values]
        if rest is not None:
            parameters.append(f"...{_parameter(rest.name)}: {_grouped(self.type_of(rest.schema))}[]")
        if callback is not None:
            parameters.append(f"callback{'' if is_answered else '?'}: {callback}")
        return f"{head}({', '.join(parameters)}) => void;\n"


def _forms(
    values: Sequence[tuple[str, str, bool]], rest: tuple[str, str] | None, callback: str | None
) -> list[str]:
    """Returns the lists of parameters that an event with optional arguments may have."""
    least = sum(is_required for _, _, is_required in values)
    forms = []
    for count in range(least, len(values) + 1):
        parts = [f"{name}: {kind}" for name, kind, _ in values[:count]]
        if rest is not None and count == len(values):
            parts.append(f"...{rest[0]}: {_grouped(rest[1])}[]")
        if callback is not None:
            parts.append(f"callback: {callback}")
        forms.append(f"[{', '.join(parts)}]")
    return forms


def _prefix(namespace: str) -> str:
    """Returns how the names of a namespace's interfaces begin: nothing for the main one, `V1Chat` for `/v1/chat`."""
    words = [word for word in re.split(r"\W+|_", namespace) if word]
    prefix = "".join(word[0].upper() + word[1:] for word in words)
    return f"_{prefix}" if prefix[:1].isdigit() else prefix


def _is_own(name: str) -> bool:
    """Returns whether the module has a type of this name that is not a model's."""
    return name in _OWN_NAMES or name.endswith(("ServerToClientEvents", "ClientToServerEvents", "Auth"))


def _parameter(name: str) -> str:
    return f"{name}_" if name in _RESERVED else name


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) else json.dumps(name)


def _union(types: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(types))


def _grouped(kind: str) -> str:
    return f"({kind})" if re.search(r"[|&]|=>", kind) else kind


def _comment(text: str | None, indent: str) -> str:
    if not text:
        return ""
    lines = text.replace("*/", "* /").strip().split("\n")
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines) + f"{indent} */\n"
