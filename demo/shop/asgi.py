"""The web server's way in, with the engine in the same process."""

import os

from django.core.asgi import get_asgi_application

from offload.asgi import Offload

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

application = Offload(get_asgi_application())
