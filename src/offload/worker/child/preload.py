"""Imported by the fork server: children are born with Django and the project's tasks loaded."""

from __future__ import annotations

import faulthandler
import gc
import logging
import signal

import django
from django.db import connections
from django.utils.module_loading import autodiscover_modules

from offload.worker.child.main import die_with_parent

# A signal to the whole process group is the engine's to answer: it stops the children in order,
# and the fork server ends with the engine.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
if hasattr(faulthandler, "register"):  # Ctrl-\ in a terminal reaches all: children show theirs too
    faulthandler.register(signal.SIGQUIT, all_threads=True)

# Its children end with it in turn. (They also hold open the pipe by whose end it would notice.)
die_with_parent()

django.setup()
try:
    autodiscover_modules("tasks")
except Exception:
    # The jobs of that module will fail and say why; those of other modules can run.
    logging.getLogger("offload.worker").exception("A tasks module cannot be imported.")
connections.close_all()

# What is there now stays for good. A collector that walked over it in each child would write to
# all its pages, which the children share as long as nobody does.
gc.collect()
gc.freeze()
