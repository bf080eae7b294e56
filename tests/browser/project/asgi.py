"""ASGI entry points: with streams and WebSockets beside Django, and Django alone.

A worker in another process runs the jobs.
"""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from offload.asgi import Offload

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.project.settings")


django = ASGIStaticFilesHandler(get_asgi_application())
application = Offload(django, run_jobs=False)
