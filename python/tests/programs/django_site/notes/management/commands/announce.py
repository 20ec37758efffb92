"""Emits an event from a process that serves no clients."""

from django.core.management.base import BaseCommand

from kokanee.django import sockets


class Command(BaseCommand):
    """Is `manage.py announce TEXT`."""

    def add_arguments(self, parser):
        parser.add_argument("text")

    def handle(self, *args, text, **options):
        sockets.emit("announced", text, to="everybody")
