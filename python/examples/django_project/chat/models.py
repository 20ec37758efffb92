"""What is kept of the chat."""

from django.db import models


class Message(models.Model):
    """Is one message."""

    author = models.CharField(max_length=150)
    text = models.TextField()
