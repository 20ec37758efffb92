"""The `Server` of an extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base_server import own_origins
from ..server import Server


class FlaskServer(Server):
    """Is a `Server` that says to a page of another origin what its origin was compared with."""

    #: Whether the response to such a page lists the accepted origins, which the log always has.
    shows_origins = False

    def _refusal_of_origin(self, environ: Mapping[str, Any]) -> str:
        accept = self._options["cors_allowed_origins"]
        if accept is None:
            rule = f"cors_allowed_origins is not set, so that only the server's own origin is accepted: {' or '.join(own_origins(environ))}"
        elif callable(accept):
            rule = "the function in cors_allowed_origins does not accept it"
        elif self.shows_origins:
            rule = f"it was compared with cors_allowed_origins={accept!r}"
        else:
            rule = "it was compared with cors_allowed_origins, which the server's log shows"
        return f"Not an accepted origin. {environ.get('HTTP_ORIGIN')!r}: {rule}."
