"""For an ASGI host: `uvicorn bakery.asgi:application`."""

import os

from kokanee.django.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
application = get_asgi_application()
