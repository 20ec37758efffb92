"""The documents of a `SocketIO`, made when somebody asks for one, and their routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from ._asyncapi import document
from ._catalogue import Catalogue
from ._page import page
from ._router import SocketRouter
from ._typescript import declaration

if TYPE_CHECKING:
    from starlette.responses import Response


class Documents:
    """Makes the AsyncAPI document, the TypeScript declaration and the page. All are those of the handlers there are now."""

    def __init__(self, router: SocketRouter, error_event: str | None) -> None:
        self._router = router
        self._error_event = error_event
        #: The last catalogue, and what it is of: it costs too much to be made for each request.
        self._made: tuple[list[Any], Catalogue] | None = None

    def _catalogue(self) -> Catalogue:
        routers = self._router.all_routers()
        parts: list[Any] = []
        for router in routers:
            parts += (router.full_namespace, *router.handlers.values(), *router.events.values())
            parts.append(router.entrance and router.entrance.operation)
        if self._made is None or self._made[0] != parts:
            self._made = parts, Catalogue(routers)
        return self._made[1]

    def asyncapi(
        self, app: FastAPI | None, server: dict[str, Any] | None, base_url: str | None = None
    ) -> dict[str, Any]:
        """Returns the AsyncAPI document, with title, version and description of the application."""
        info: dict[str, Any] = {"title": "Socket.IO", "version": "0.1.0"}
        if app is not None:
            info = {"title": app.title, "version": app.version}
            if app.description:
                info["description"] = app.description
        return document(self._catalogue(), info, self._error_event, server, base_url)

    def typescript(self) -> str:
        """Returns the text of the TypeScript declaration."""
        return declaration(self._catalogue(), self._error_event)

    def add_routes(
        self, app: FastAPI, path: str, asyncapi_url: str | None, page_url: str | None, typescript_url: str | None
    ) -> None:
        """Adds a route for each document that has an address."""
        links = [(text, url) for text, url in (("AsyncAPI", asyncapi_url), ("TypeScript", typescript_url)) if url]

        async def asyncapi(request: Request) -> Response:
            return JSONResponse(self.asyncapi(app, _server(request, path), str(request.base_url)))

        async def typescript(request: Request) -> Response:
            return PlainTextResponse(self.typescript())

        async def asyncdocs(request: Request) -> Response:
            return HTMLResponse(
                page(app.title, app.version, self._catalogue(), self._error_event, _below(request, links))
            )

        routes = ((asyncapi_url, asyncapi), (typescript_url, typescript), (page_url, asyncdocs))
        for url, route in routes:
            if url is not None:
                app.add_route(url, route, include_in_schema=False)


def _root_path(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def _server(request: Request, path: str) -> dict[str, Any]:
    """Returns where clients of the application connect that has got a request."""
    secure = request.url.scheme in ("https", "wss")
    return {
        "host": request.url.netloc,
        "pathname": f"{_root_path(request)}/{path.strip('/')}/",
        "protocol": "wss" if secure else "ws",
        "description": "Socket.IO, on WebSocket or long-polling",
    }


def _below(request: Request, links: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(text, _root_path(request) + url) for text, url in links]
