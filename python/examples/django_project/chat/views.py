"""The page, its script, and the login."""

import pathlib

from django import http
from django.contrib import auth

from .models import Message

PAGE = pathlib.Path(__file__).parents[2] / "page"
TYPES = {"index.html": "text/html", "socket.io.min.js": "text/javascript"}


def page(request: http.HttpRequest, name: str = "index.html") -> http.FileResponse:
    """Sends a file of the page."""
    if name not in TYPES:
        raise http.Http404
    return http.FileResponse((PAGE / name).open("rb"), content_type=TYPES[name])


def login(request: http.HttpRequest, name: str) -> http.HttpResponse:
    """Logs a visitor in. An application asks for a password here."""
    user, _ = auth.get_user_model().objects.get_or_create(username=name)
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return http.HttpResponseRedirect("/")


def messages(request: http.HttpRequest) -> http.JsonResponse:
    """Lists what was said."""
    return http.JsonResponse({"messages": list(Message.objects.values("author", "text"))})
