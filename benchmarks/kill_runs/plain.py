"""The job, as a task of plain Celery: with its defaults, or with late acknowledgement."""

from __future__ import annotations

import os

from celery import Celery

from kill_runs.work import work

app = Celery("plain", broker=os.environ["BENCH_URL"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
if os.environ.get("KILL_RUN_ACKS_LATE"):
    app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)


@app.task
def run(number: int) -> None:
    work(number)
