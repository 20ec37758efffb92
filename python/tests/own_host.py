"""Programs under the package's own host."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from support import Program, program

SERVE = [sys.executable, "-m", "kokanee", "serve"]


@contextlib.contextmanager
def serve(app: str, *options: str, port: int | None = None, **environment: str) -> Iterator[Program]:
    """Runs `python -m kokanee serve` with an application of `programs`."""
    environment.setdefault("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    with program(*SERVE, app, "--port", "{port}", *options, port=port, **environment) as running:
        yield running
