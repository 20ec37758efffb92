"""The AsyncAPI 3 document of a `SocketIO`: a namespace is a channel, an event is a message, an acknowledgement is a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ._catalogue import FAILURES, REF, Catalogue, Schema, Shown, Space, Value, unused
from ._security import for_asyncapi

VERSION = "3.0.0"


def document(
    catalogue: Catalogue,
    info: dict[str, Any],
    error_event: str | None,
    server: dict[str, Any] | None = None,
    base_url: str | None = None,
) -> dict[str, Any]:
    """Returns the document. `server` is where clients connect, and `base_url` where the application is, if that is known."""
    used = {**catalogue.schemas, **FAILURES}
    made: dict[str, Any] = {"asyncapi": VERSION, "info": info, "defaultContentType": "application/json"}
    if server is not None:
        made["servers"] = {"default": server}
    channels: dict[str, _Channel] = {}
    for space in catalogue.spaces:
        id = _id(space.name.strip("/").replace("/", "-")) or "root"
        channels[unused(id, channels)] = _Channel(space, error_event)
    made["channels"] = {id: channel.as_document() for id, channel in channels.items()}
    made["operations"] = dict(
        operation for id, channel in channels.items() for operation in channel.operations(id)
    )
    made["components"] = {"schemas": {id: draft_7(schema) for id, schema in used.items()}}
    if catalogue.security:
        made["components"]["securitySchemes"] = {
            _id(name): for_asyncapi(scheme, base_url) for name, scheme in catalogue.security.items()
        }
    return made


def _id(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


class _Channel:
    def __init__(self, space: Space, error_event: str | None) -> None:
        self._space = space
        self._error_event = error_event
        self._messages: dict[str, dict[str, Any]] = {}
        #: Messages with what answers them: action, event, key, keys of the answers.
        self._exchanges: list[tuple[str, Shown, str, list[str]]] = []
        for event in space.received:
            self._add("receive", event, "")
        for event in space.emitted:
            self._add("send", event, ".emitted")

    def _add(self, action: str, event: Shown, suffix: str) -> None:
        key = self._put(_id(event.name) + suffix, event.name, event.values, event.rest, event)
        answers = []
        if event.answer:
            answers.append(self._put(f"{key}.answer", f"{event.name} (acknowledgement)", event.answer, None))
        if action == "receive":
            answers.append(self._failed())
        self._exchanges.append((action, event, key, answers))

    def _failed(self) -> str:
        self._messages["failed"] = {
            "name": "failed (acknowledgement)",
            "title": "The acknowledgement of an event that has failed",
            "payload": {"$ref": REF.format(model="EventError")},
        }
        return "failed"

    def _put(
        self, key: str, name: str, values: Sequence[Value], rest: Value | None, event: Shown | None = None
    ) -> str:
        key = unused(key, self._messages)
        message: dict[str, Any] = {"name": name}
        if event is not None:
            message["title"] = event.summary
            if event.description:
                message["description"] = event.description
        schema = payload(values, rest)
        if schema is not None:
            message["payload"] = draft_7(schema)
        message["x-arguments"] = [value.name for value in values] + ([f"*{rest.name}"] if rest is not None else [])
        self._messages[key] = message
        return key

    def as_document(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "address": self._space.name,
            "title": f"Namespace {self._space.name}",
            "messages": self._messages,
        }
        if self._error_event is not None:
            self._messages["error.emitted"] = {
                "name": self._error_event,
                "title": "An event has failed, and nobody waits for its acknowledgement",
                "payload": {"$ref": REF.format(model="UnansweredFailure")},
                "x-arguments": ["failure"],
            }
        if self._space.auth is not None:
            made["x-auth"] = draft_7(self._space.auth.schema)
        return made

    def operations(self, id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        channel = {"$ref": f"#/channels/{id}"}

        def reference(key: str) -> dict[str, str]:
            return {"$ref": f"#/channels/{id}/messages/{key}"}

        for action, event, key, answers in self._exchanges:
            operation: dict[str, Any] = {
                "action": action,
                "channel": channel,
                "summary": event.summary,
                "messages": [reference(key)],
            }
            if event.description:
                operation["description"] = event.description
            if event.security:
                operation["security"] = [{"$ref": f"#/components/securitySchemes/{_id(name)}"} for name in event.security]
            if answers:
                operation["reply"] = {"channel": channel, "messages": [reference(each) for each in answers]}
            yield f"{id}.{action}.{key}", operation
        if "error.emitted" in self._messages:
            yield f"{id}.send.error.emitted", {
                "action": "send",
                "channel": channel,
                "messages": [reference("error.emitted")],
            }


def payload(values: Sequence[Value], rest: Value | None) -> Schema | None:
    """Returns the schema of an event's arguments: of the only one, or of a list of several; `None` if it has none."""
    if rest is None and len(values) == 1:
        return values[0].schema
    if rest is None and not values:
        return None
    schema: Schema = {
        "type": "array",
        "prefixItems": [{"title": value.name, **value.schema} for value in values],
        "minItems": sum(value.is_required for value in values),
    }
    if rest is not None:
        schema["items"] = rest.schema
    else:
        schema["maxItems"] = len(values)
    return schema


def draft_7(schema: Any) -> Any:
    """Returns a schema of Pydantic's, which is of draft 2020-12, in the form of AsyncAPI's, which is of draft 7."""
    if isinstance(schema, list):
        return [draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _draft_7_of(key, value) for key, value in schema.items()}
    if "prefixItems" in made:
        rest = made.pop("items", None)
        made["items"] = made.pop("prefixItems")
        if not made["items"]:
            # Draft 7 has no list of none.
            made["items"] = rest if rest is not None else True
        elif rest is not None:
            made["additionalItems"] = rest
    discriminator = made.get("discriminator")
    if isinstance(discriminator, dict) and set(discriminator) <= {"propertyName", "mapping"}:
        made["discriminator"] = discriminator["propertyName"]
    return made


def _draft_7_of(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties", "dependentSchemas") and isinstance(value, dict):
        # The names are not keywords.
        return {name: draft_7(each) for name, each in value.items()}
    if key in ("default", "const", "enum", "examples", "example"):
        return value
    return draft_7(value)
