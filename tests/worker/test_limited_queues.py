"""Workers keep the limits of queues, and run all jobs."""

from __future__ import annotations

import threading
from pathlib import Path

from offload import JobState, queues
from offload.models import Job
from offload.policies import Rate
from tests import limited_tasks
from tests.tasks import add
from tests.worker.conftest import StartWorker, has_started, until
from tests.worker.tasks import hold


def test_two_workers_run_one_job_of_a_queue_at_a_time(
    start_worker: StartWorker, gate: Path
) -> None:
    queues.limit("mail", concurrency=1)
    results = [
        hold.using(queue_name="mail").enqueue(str(gate)),
        hold.using(queue_name="mail").enqueue(str(gate)),
    ]
    limited = limited_tasks.single.using(queue_name="mail").enqueue()
    for _ in range(2):
        start_worker(0)
    until(lambda: any(map(has_started, results)))
    add.enqueue(1).wait(20)
    assert Job.objects.filter(state=JobState.RUNNING).count() == 1

    gate.touch()

    for result in (*results, limited):
        result.wait(20)
        assert result.state == JobState.SUCCESSFUL


def test_a_drain_waits_for_the_rate_of_a_queue(start_worker: StartWorker) -> None:
    queues.limit("mail", rate=Rate("5/s", burst=1))
    add.using(queue_name="mail").enqueue_many([((1,), {})] * 3)

    start_worker(0, drain=True).join()

    starts = sorted(Job.objects.values_list("started_at", flat=True))
    assert not Job.objects.exclude(state=JobState.SUCCESSFUL).exists()
    assert (starts[-1] - starts[0]).total_seconds() >= 0.399


def test_a_limit_counts_while_a_worker_runs(start_worker: StartWorker, gate: Path) -> None:
    start_worker(0, threads=2)
    add.using(queue_name="mail").enqueue(1).wait(20)
    queues.limit("mail", concurrency=1)
    threading.Event().wait(1.05)  # until the worker reads it, if it has missed the hint

    hold.using(queue_name="mail").enqueue_many([((str(gate),), {})] * 2)
    until(lambda: Job.objects.filter(state=JobState.RUNNING).exists())
    add.enqueue(1).wait(20)

    assert Job.objects.filter(state=JobState.RUNNING).count() == 1
