"""Under WSGI: `python manage.py runserver`, or `gunicorn --threads 8 project.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

import kokanee

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_wsgi_application()

# The handlers use models, and so are imported after Django is ready.
from chat import handlers  # noqa: E402

sio = kokanee.Server(async_mode="threading")
handlers.register(sio)
application = kokanee.WSGIApp(sio, django)
