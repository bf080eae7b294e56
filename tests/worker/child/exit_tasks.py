"""Tasks that register exit handlers."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
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


@task
def log_in_thread_at_exit() -> None:
    """Leave a thread that works on when the thread of the job has ended, as a client may."""
    job, thread = current_job().id, threading.current_thread()

    def work_on() -> None:
        thread.join()
        subprocess.run([sys.executable, "-c", ""], check=True)
        event_log.write("exited", job)

    threading.Thread(target=work_on, daemon=False).start()
