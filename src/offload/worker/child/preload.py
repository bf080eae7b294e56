"""Imported by the fork server, so that children start with Django and the tasks loaded."""

from __future__ import annotations

import faulthandler
import gc
import logging
import signal

import django
from django.db import connections
from django.utils.module_loading import autodiscover_modules

from offload.worker.parent_death import die_with_parent

# The worker handles signals to the process group: it stops the children in order, and the fork
# server exits with the worker.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
if hasattr(faulthandler, "register"):  # Ctrl-\ in a terminal shows the stacks of children, too
    faulthandler.register(signal.SIGQUIT, all_threads=True)

# The children die with the fork server in turn. (It cannot notice that the worker has
# exited: the children hold open the pipe that would be closed.)
die_with_parent()

django.setup()
try:
    autodiscover_modules("tasks")
except Exception:
    # Jobs of that module will fail with the same error; the tasks of other modules can run.
    logging.getLogger("offload.worker").exception("A tasks module could not be imported.")
connections.close_all()

# Everything loaded so far is never freed. A garbage collection in a child would write to all of
# these memory pages, which the children otherwise share.
gc.collect()
gc.freeze()
