"""Who may join a namespace: that is decided in one place, whatever routers the namespace is spread over."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import params

from ._operation import Handler, Operation, Site


class Entrance:
    """Is the handler of `connect` of a namespace with the dependencies of all its routers: each of them may refuse a client."""

    def __init__(self, site: Site, namespace: str) -> None:
        self._site = site
        self._namespace = namespace
        self._dependencies: list[params.Depends] = []
        self._handler: Handler | None = None
        #: What is called when a client wants to join; `None` while nothing has to be.
        self.operation: Operation | None = None

    def guard(self, dependencies: Sequence[params.Depends]) -> None:
        """Adds dependencies."""
        new = [each for each in dependencies if each not in self._dependencies]
        if new:
            self._dependencies.extend(new)
            self._register()

    def use(self, handler: Handler) -> None:
        """Sets the handler. The last one counts."""
        self._handler = handler
        self._register()

    def _register(self) -> None:
        handler, dependencies = self._handler, self._dependencies
        every = self._site.entrances.get("*")
        if handler is None and every is not None and every is not self:
            # This one is asked in place of the handler of all namespaces, which decides here, too.
            handler = every._handler
            others = [each for each in dependencies if each not in every._dependencies]
            dependencies = [*every._dependencies, *others]
        self.operation = Operation(self._site, self._namespace, handler or Handler("connect", _join), dependencies)
        self._site.server.on("connect", self.operation, namespace=self._namespace)
        if self._namespace == "*":
            for other in self._site.entrances.values():
                if other is not self and other.operation is not None and other._handler is None:
                    other._register()


async def _join() -> None:
    """Lets a client in that the dependencies have not refused."""


def entrance_of(site: Site, namespace: str) -> Entrance:
    """Returns the entrance of a namespace."""
    found = site.entrances.get(namespace)
    if found is None:
        found = site.entrances[namespace] = Entrance(site, namespace)
    return found
