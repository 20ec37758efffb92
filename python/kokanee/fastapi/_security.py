"""FastAPI's security schemes among the dependencies of a handler, in the words of AsyncAPI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.security.base import SecurityBase

Scheme = dict[str, Any]

#: The addresses of a flow of OAuth 2.
_URLS = {"authorizationUrl", "refreshUrl", "tokenUrl"}


def schemes_of(dependant: Dependant) -> Iterator[tuple[str, Scheme]]:
    """Returns the schemes that a handler needs, in the words of OpenAPI, with their names."""
    for each in dependant.dependencies:
        if isinstance(each.call, SecurityBase):
            yield each.call.scheme_name, jsonable_encoder(each.call.model, by_alias=True, exclude_none=True)
        yield from schemes_of(each)


def for_asyncapi(scheme: Scheme, base_url: str | None) -> Scheme:
    """Returns a scheme of OpenAPI in the form that AsyncAPI has for it. `base_url` is where the application is, if that is known."""
    if scheme["type"] == "apiKey":
        return {**scheme, "type": "httpApiKey"}
    if scheme["type"] != "oauth2":
        return scheme
    flows = {name: _flow(flow, base_url) for name, flow in scheme["flows"].items()}
    if not all(urlsplit(flow[key]).scheme for flow in flows.values() for key in _URLS & flow.keys()):
        # AsyncAPI has whole addresses only. Without them, this is what is left of it.
        return {"type": "http", "scheme": "bearer", "description": "OAuth 2"}
    return {**scheme, "flows": flows}


def _flow(flow: Scheme, base_url: str | None) -> Scheme:
    made = {("availableScopes" if key == "scopes" else key): value for key, value in flow.items()}
    for key in _URLS & made.keys():
        made[key] = urljoin(base_url or "", made[key])
    return made
