"""The pages of the site under test."""

from django.urls import path
from notes import views

urlpatterns = [
    path("login/<name>", views.login),
    path("logout", views.logout),
    path("add/<text>", views.add),
    path("fail/<text>", views.fail),
    path("remember/<word>", views.remember),
    path("remembered", views.remembered),
    path("disconnect/<sid>", views.disconnect),
]
