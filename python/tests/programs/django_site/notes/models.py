"""What is kept of the site under test."""

from django.db import models


class Note(models.Model):
    """Is one note."""

    author = models.CharField(max_length=150)
    text = models.TextField()
    made = models.DateTimeField(auto_now_add=True)
