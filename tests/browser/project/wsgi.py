"""WSGI entry point, for a server that cannot stream."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.project.settings")

application = StaticFilesHandler(get_wsgi_application())
