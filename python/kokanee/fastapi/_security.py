"""FastAPI's security schemes among the dependencies of a handler, in the words of AsyncAPI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.security.base import SecurityBase

Scheme = dict[str, Any]


def schemes_of(dependant: Dependant) -> Iterator[tuple[str, Scheme]]:
    """Returns the schemes that a handler needs, with their names."""
    for each in dependant.dependencies:
        if isinstance(each.call, SecurityBase):
            yield each.call.scheme_name, _for_asyncapi(jsonable_encoder(each.call.model, by_alias=True, exclude_none=True))
        yield from schemes_of(each)


def _for_asyncapi(scheme: Scheme) -> Scheme:
    """Returns a scheme of OpenAPI in the form that AsyncAPI has for it."""
    if scheme["type"] == "apiKey":
        return {**scheme, "type": "httpApiKey"}
    if scheme["type"] == "oauth2":
        flows = {
            name: {("availableScopes" if key == "scopes" else key): value for key, value in flow.items()}
            for name, flow in scheme["flows"].items()
        }
        return {**scheme, "flows": flows}
    return scheme
