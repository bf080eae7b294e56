"""Tasks that register exit handlers."""

from __future__ import annotations

import atexit
import os
import signal
import threading

from offload import current_job, task
from tests.worker import event_log


@task
def log_at_exit() -> int:
    atexit.register(event_log.write, "exited", current_job().id)
    return os.getpid()


@task(at_most_once=True)
def log_at_exit_and_die() -> None:
    atexit.register(event_log.write, "exited", current_job().id)
    os.kill(os.getpid(), signal.SIGKILL)


@task
def hang_at_exit() -> None:
    atexit.register(threading.Event().wait)
