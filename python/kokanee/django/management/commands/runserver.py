"""`manage.py runserver`, which serves Socket.IO as well: that of Django, or of its static files, under WSGI or ASGI."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

_BASE = "django.contrib.staticfiles" if apps.is_installed("django.contrib.staticfiles") else "django.core"
_Command: Any = import_module(f"{_BASE}.management.commands.runserver").Command


class Command(_Command):
    """Serves the project and its clients."""

    def add_arguments(self, parser: Any) -> None:
        """Adds the choice of the interface."""
        super().add_arguments(parser)
        parser.add_argument(
            "--asgi",
            action="store_true",
            default=not getattr(settings, "WSGI_APPLICATION", None) and bool(getattr(settings, "ASGI_APPLICATION", None)),
            help="Serves ASGI_APPLICATION on an event loop, and not WSGI_APPLICATION on threads. "
            "It is the default if only ASGI_APPLICATION is set.",
        )

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Returns the project's application, with Socket.IO in front if it has none."""
        from ... import _development, _servers

        # Clients come first, also before static files: an application that serves clients by itself never sees them.
        if not options["asgi"]:
            return _servers.wsgi(super().get_handler(*args, **options))
        self.server_cls = _development.AsgiServer
        return _servers.asgi(_asgi_application(options))

    def on_bind(self, server_port: int) -> None:
        """Says where the project and its clients are served."""
        from ... import _servers

        self.stdout.write(f"Serving Socket.IO at /{_servers.path()}/\n")
        super().on_bind(server_port)


def _asgi_application(options: dict[str, Any]) -> Any:
    path = getattr(settings, "ASGI_APPLICATION", None)
    if path:
        application = import_string(path)
    else:
        from django.core.asgi import get_asgi_application

        application = get_asgi_application()
    # Unless the command has no such option, as static files are not an application of the project.
    if options.get("use_static_handler") and (settings.DEBUG or options["insecure_serving"]):
        from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

        return ASGIStaticFilesHandler(application)
    return application
