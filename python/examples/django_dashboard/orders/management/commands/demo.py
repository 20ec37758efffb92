"""`python manage.py demo`: makes the database, somebody who works here, and the orders of this morning."""

from __future__ import annotations

import datetime
import random
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from ...menu import MENU
from ...models import Order

NAMES = ("Ada", "Grace", "Linus", "Margaret", "Dennis", "Barbara", "Ken", "Radia", "Edsger", "Hedy")


def some_order(**fields: Any) -> Order:
    """Returns an order as somebody might make it."""
    item, quantity = random.choice(list(MENU)), random.choice((1, 1, 2, 2, 3, 6))
    return Order(
        **{"customer": random.choice(NAMES), "item": item, "quantity": quantity, "price": quantity * MENU[item], **fields}
    )


class Command(BaseCommand):
    """Fills the database."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the command."""
        random.seed(7)
        call_command("migrate", verbosity=0)
        users = get_user_model().objects
        if not users.filter(username="baker").exists():
            users.create_user("baker", password="baker")
        now = timezone.now()
        states = [*["done"] * 22, *["ready"] * 2, *["baking"] * 3, *["new"] * 3]
        Order.objects.all().delete()
        # Not in one statement that bypasses the signals: pages that are open show them.
        for number, state in enumerate(states):
            minutes = (len(states) - number) * 1.9 + random.random() * 3
            some_order(state=state, created=now - datetime.timedelta(minutes=minutes)).save()
        self.stdout.write("The bakery is open. Sign in as baker, with the password baker.")
