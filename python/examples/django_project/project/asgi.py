"""Under ASGI: `uvicorn project.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

import kokanee

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()

# The handlers use models, and so are imported after Django is ready.
from chat import async_handlers  # noqa: E402

sio = kokanee.AsyncServer(async_mode="asgi")
async_handlers.register(sio)
application = kokanee.ASGIApp(sio, django)
