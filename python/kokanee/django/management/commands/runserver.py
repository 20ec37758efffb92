"""`manage.py runserver`, which serves Socket.IO as well: that of Django, or of its static files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps

_BASE = "django.contrib.staticfiles" if apps.is_installed("django.contrib.staticfiles") else "django.core"
_Command: Any = import_module(f"{_BASE}.management.commands.runserver").Command


class Command(_Command):
    """Serves the project and its clients."""

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Returns the project's application, with Socket.IO in front if it has none."""
        from ... import _servers

        handler = super().get_handler(*args, **options)
        # In front of static files, too. An application that serves clients by itself never sees theirs.
        return _servers.wsgi(handler)

    def on_bind(self, server_port: int) -> None:
        """Says where the project and its clients are served."""
        from ... import _servers

        self.stdout.write(f"Serving Socket.IO at /{_servers.path()}/\n")
        super().on_bind(server_port)
