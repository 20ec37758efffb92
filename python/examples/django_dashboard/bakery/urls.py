"""The pages of the example."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from orders import views

urlpatterns = [
    path("", views.board, name="board"),
    path("login/", LoginView.as_view(template_name="orders/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("order/", views.order, name="order"),
]
