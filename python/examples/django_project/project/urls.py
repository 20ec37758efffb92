"""The pages of the example."""

from django.urls import path

from chat import views

urlpatterns = [
    path("login/<name>", views.login),
    path("messages", views.messages),
    path("", views.page),
    path("<name>", views.page),
]
