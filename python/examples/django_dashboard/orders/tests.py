"""The tests of the example: what pages see, without a server."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.test import TestCase

from kokanee.django.test import SocketClient

from .models import Order


class Board(TestCase):
    """Has a page open, and changes orders."""

    def test_an_order_appears_on_open_pages(self) -> None:
        with SocketClient() as page:
            with self.captureOnCommitCallbacks(execute=True):
                form = {"customer": "Ada", "item": "Lemon tart", "quantity": 2}
                self.client.post("/order/", form)
            (event,) = page.take("order")
            order, totals = event.args
            self.assertEqual((order["customer"], order["price"], totals["new"]), ("Ada", "9.80", 1))
            self.assertEqual(len(page.call("board")["orders"]), 1)

    def test_only_those_who_work_here_move_orders(self) -> None:
        order = Order.objects.create(customer="Ada", item="Lemon tart", price="4.90")
        with SocketClient(self.client) as visitor:
            self.assertEqual(visitor.call("move", order.pk, "baking"), {"error": "Sign in to move orders."})
        self.client.force_login(get_user_model().objects.create_user("baker"))
        with SocketClient(self.client) as baker:
            self.assertEqual(baker.call("move", order.pk, "baking"), {"moved": order.pk})
            self.assertEqual(baker.call("move", order.pk, "eaten"), {"error": "There is no state 'eaten'."})
        order.refresh_from_db()
        self.assertEqual(order.state, "baking")
