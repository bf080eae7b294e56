"""The project's ASGI applications: with the streams of `offload.asgi`, and Django alone."""

from __future__ import annotations

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from offload.asgi import Offload

django = ASGIStaticFilesHandler(get_asgi_application())
with_streams = Offload(django, run_jobs=False)
