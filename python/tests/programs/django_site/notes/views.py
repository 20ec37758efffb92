"""The pages of the site under test."""

from django import http
from django.contrib import auth
from django.db import transaction

from kokanee.django import sockets

from .models import Note


def login(request, name):
    user, _ = auth.get_user_model().objects.get_or_create(username=name)
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return http.HttpResponse(name)


def logout(request):
    auth.logout(request)
    return http.HttpResponse("out")


def add(request, text):
    """Saves a note and emits another event from a view."""
    with transaction.atomic():
        Note.objects.create(author="view", text=text)
        sockets.emit("adding", text)
    return http.HttpResponse("added")


def fail(request, text):
    """Saves a note, whose transaction is rolled back."""
    with transaction.atomic():
        Note.objects.create(author="view", text=text)
        transaction.set_rollback(True)
    return http.HttpResponse("failed")


def remember(request, word):
    request.session["word"] = word
    return http.HttpResponse(word)


def remembered(request):
    return http.HttpResponse(request.session.get("word", ""))


def disconnect(request, sid):
    sockets.disconnect(sid)
    return http.HttpResponse("disconnected")
