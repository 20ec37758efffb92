"""The application: it imports the handlers of all others, and adds checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class KokaneeConfig(AppConfig):
    """Is the entry of `INSTALLED_APPS`."""

    name = "kokanee.django"
    label = "kokanee"
    verbose_name = "Kokanee"

    def ready(self) -> None:
        """Imports the `sockets.py` of each application, when all models are there."""
        from . import checks  # noqa: F401

        autodiscover_modules("sockets")
