"""Whatever saves or deletes an order, in a page, a handler, a command or the shell: all open pages show it."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save

from kokanee.django import sockets


def saved(instance: Any, **_: Any) -> None:
    """Shows an order that is new or has changed, when its transaction is committed."""
    from .models import totals

    sockets.emit_on_commit("order", (instance.as_dict(), totals()), to="board")


def deleted(instance: Any, **_: Any) -> None:
    """Takes an order off the pages."""
    from .models import totals

    sockets.emit_on_commit("gone", (instance.pk, totals()), to="board")


class OrdersConfig(AppConfig):
    """Is the application."""

    name = "orders"

    def ready(self) -> None:
        """Connects the signals."""
        post_save.connect(saved, "orders.Order")
        post_delete.connect(deleted, "orders.Order")
