"""`python manage.py simulate`: customers and bakers, in a process of their own. Pages that are open show what they do."""

from __future__ import annotations

import random
import time
from typing import Any

from django.core.management.base import BaseCommand

from ...models import Order
from .demo import some_order

NEXT = {"new": "baking", "baking": "ready", "ready": "done"}


class Command(BaseCommand):
    """Makes and moves orders until it is interrupted."""

    help = __doc__

    def add_arguments(self, parser: Any) -> None:
        """Adds how much is done."""
        parser.add_argument("--steps", type=int, default=0, help="end after so many changes")
        parser.add_argument("--pause", type=float, default=1.5, help="seconds between two changes")

    def handle(self, *args: Any, steps: int, pause: float, **options: Any) -> None:
        """Runs the command."""
        done = 0
        while not steps or done < steps:
            waiting = Order.objects.exclude(state="done").order_by("created").first()
            if waiting is not None and (Order.objects.exclude(state="done").count() > 12 or random.random() < 0.6):
                waiting.state = NEXT[waiting.state]
                waiting.save(update_fields=["state"])
                self.stdout.write(f"{waiting.state}: {waiting}")
            else:
                order = some_order()
                order.save()
                self.stdout.write(f"new: {order}")
            done += 1
            time.sleep(pause)
