"""The application under test: a note that is saved is emitted when it is committed."""

from django.apps import AppConfig
from django.db.models.signals import post_save


def saved(instance, **_):
    """Emits a note."""
    from kokanee.django import sockets

    sockets.emit_on_commit("noted", {"author": instance.author, "text": instance.text, "made": instance.made})


class NotesConfig(AppConfig):
    """Is the application."""

    name = "notes"

    def ready(self):
        """Connects the signal."""
        post_save.connect(saved, "notes.Note")
