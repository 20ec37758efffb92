"""The page, and the form on it, which saves an order in the ordinary way of Django."""

from __future__ import annotations

from django import forms, http
from django.shortcuts import redirect, render

from .menu import MENU
from .models import Order, board as shown


class OrderForm(forms.Form):
    """Takes an order."""

    customer = forms.CharField(max_length=60)
    item = forms.ChoiceField(choices=[(name, name) for name in MENU])
    quantity = forms.IntegerField(min_value=1, max_value=20, initial=1)


def board(request: http.HttpRequest) -> http.HttpResponse:
    """Shows the board."""
    context = {"board": shown(), "form": OrderForm(), "menu": MENU}
    return render(request, "orders/board.html", context)


def order(request: http.HttpRequest) -> http.HttpResponse:
    """Saves an order."""
    if request.method != "POST":
        return http.HttpResponseNotAllowed(["POST"])
    form = OrderForm(request.POST)
    if not form.is_valid():
        return http.JsonResponse({"errors": form.errors}, status=400)
    quantity, item = form.cleaned_data["quantity"], form.cleaned_data["item"]
    Order.objects.create(
        customer=form.cleaned_data["customer"], item=item, quantity=quantity, price=quantity * MENU[item]
    )
    if request.headers.get("Accept") == "application/json":
        return http.JsonResponse({}, status=201)
    return redirect("board")
