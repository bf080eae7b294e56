"""The application of ASGI servers, with streams; jobs run in the workers."""

import os

from django.core.asgi import get_asgi_application

from offload.asgi import Offload

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.production")

application = Offload(get_asgi_application(), run_jobs=False)
