"""The ASGI application, which also runs the jobs in the web server's process."""

import os

from django.core.asgi import get_asgi_application

from offload.asgi import Offload

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

application = Offload(get_asgi_application())
