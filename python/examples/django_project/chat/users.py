"""Who a client is: the user of the Django session whose cookie came with the client's first request."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie


def user_of(environ: dict[str, Any]) -> Any:
    """Returns the user, or an anonymous one."""
    cookies = parse_cookie(environ.get("HTTP_COOKIE", ""))
    request = HttpRequest()
    sessions = import_module(settings.SESSION_ENGINE)
    request.session = sessions.SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    return get_user(request)
