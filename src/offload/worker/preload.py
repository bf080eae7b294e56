"""Imported by the fork server: children are born with Django and the project's tasks loaded."""

from __future__ import annotations

import logging
import signal

import django
from django.db import connections
from django.utils.module_loading import autodiscover_modules

# A signal to the whole process group is the engine's to answer: it stops the children in order,
# and the fork server ends with the engine.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)

django.setup()
try:
    autodiscover_modules("tasks")
except Exception:
    # The jobs of that module will fail and say why; those of other modules can run.
    logging.getLogger("offload.worker").exception("A tasks module cannot be imported.")
connections.close_all()
