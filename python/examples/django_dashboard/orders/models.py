"""The orders of the bakery."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone


class Order(models.Model):
    """Is one order: new, in the oven, ready, and at last handed over."""

    class State(models.TextChoices):
        """Where an order is."""

        NEW = "new"
        BAKING = "baking"
        READY = "ready"
        DONE = "done"

    customer = models.CharField(max_length=60)
    item = models.CharField(max_length=60)
    quantity = models.PositiveSmallIntegerField(default=1)
    price = models.DecimalField(max_digits=7, decimal_places=2)
    state = models.CharField(max_length=6, choices=State.choices, default=State.NEW)
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.quantity} × {self.item} for {self.customer}"

    def as_dict(self) -> dict[str, Any]:
        """Returns what pages show of it. Dates and decimals become texts where it is sent."""
        names = ("id", "customer", "item", "quantity", "price", "state", "created")
        return {name: getattr(self, name) for name in names}


def totals() -> dict[str, Any]:
    """Returns the figures of today."""
    today = Order.objects.filter(created__date=timezone.localdate())
    counts = {state: 0 for state in Order.State.values}
    counts.update(today.order_by().values_list("state").annotate(models.Count("id")))
    revenue = today.aggregate(sum=models.Sum("price"))["sum"] or 0
    return {**counts, "revenue": revenue}


def board() -> dict[str, Any]:
    """Returns what a page shows when it is opened: orders that are not handed over, the figures, and when orders came."""
    shown = Order.objects.exclude(state=Order.State.DONE).order_by("created")
    last = Order.objects.order_by("-created").values_list("created", flat=True)[:500]
    return {"orders": [each.as_dict() for each in shown], "totals": totals(), "times": list(last)}
