"""Settings of the project with `<task-status>` and a hand-written SSE view, on one queue."""

from __future__ import annotations

from live_pages.base_settings import *
from live_pages.base_settings import APPS, MIDDLEWARE
from load.settings import DATABASES, TASKS

__all__ = ["DATABASES", "TASKS"]

ROOT_URLCONF = "live_pages.urls"
INSTALLED_APPS = [*APPS, "offload"]
MIDDLEWARE = [*MIDDLEWARE, "offload.middleware.OffloadMiddleware"]
