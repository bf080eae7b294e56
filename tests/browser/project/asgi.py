"""The web server's way in; another process runs the jobs."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from offload.asgi import Offload

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.project.settings")

application = Offload(ASGIStaticFilesHandler(get_asgi_application()), run_jobs=False)
