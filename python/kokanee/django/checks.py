"""Checks for `manage.py check`: settings of which one can see that they will fail."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Error, register

from . import _conf


@register
def check_options(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Finds options that there are not, and wrong values."""
    given = getattr(settings, "KOKANEE", {})
    return [Error(text, hint=hint, id="kokanee.E001") for text, hint in _conf.problems(given)]
