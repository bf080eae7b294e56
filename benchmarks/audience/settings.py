"""The project with our element, and with a stream written by hand, on one queue of jobs."""

from __future__ import annotations

from audience.startproject import *
from audience.startproject import APPS, MIDDLEWARE
from load.settings import DATABASES, TASKS

__all__ = ["DATABASES", "TASKS"]

ROOT_URLCONF = "audience.urls"
INSTALLED_APPS = [*APPS, "offload"]
MIDDLEWARE = [*MIDDLEWARE, "offload.middleware.OffloadMiddleware"]
