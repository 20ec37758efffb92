"""For a WSGI host: `gunicorn --threads 8 bakery.wsgi`."""

import os

from kokanee.django.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
application = get_wsgi_application()
