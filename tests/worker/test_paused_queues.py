"""Workers leave the jobs of paused queues alone."""

from __future__ import annotations

from datetime import timedelta

from offload import JobState, queues
from offload.management.unfinished import describe_unfinished
from offload.models import Job
from tests import limited_tasks
from tests.tasks import add
from tests.worker.conftest import StartWorker, until


def test_a_worker_starts_the_jobs_of_a_queue_once_it_is_resumed(start_worker: StartWorker) -> None:
    queues.pause("mail")
    paused = add.using(queue_name="mail").enqueue(1)
    limited = limited_tasks.single.using(queue_name="mail").enqueue()
    start_worker(0, poll_interval=30)
    add.enqueue(1).wait(20)
    paused.refresh()
    assert paused.state == JobState.READY

    queues.resume("mail")

    for result in (paused, limited):
        result.wait(20)
        assert result.state == JobState.SUCCESSFUL


def test_a_worker_starts_the_jobs_of_a_queue_when_its_pause_ends(start_worker: StartWorker) -> None:
    queue = queues.pause("mail", until=timedelta(seconds=0.4))
    result = add.using(queue_name="mail").enqueue(1)
    start_worker(0, poll_interval=30)

    result.wait(20)

    assert result.started_at is not None
    assert queue.paused_until is not None
    assert result.started_at >= queue.paused_until


def test_a_running_worker_stops_claiming_from_a_paused_queue(start_worker: StartWorker) -> None:
    start_worker(0)
    add.using(queue_name="mail").enqueue(1).wait(20)
    queues.pause("mail")

    def is_left() -> bool:
        """Return whether a new job is left for as long as another takes."""
        job = add.using(queue_name="mail").enqueue(1)
        add.enqueue(1).wait(20)
        return Job.objects.get(pk=job.id).state == JobState.READY

    until(is_left)


def test_a_drain_leaves_paused_queues_and_says_so(start_worker: StartWorker) -> None:
    add.enqueue(1)
    add.using(queue_name="mail").enqueue_many([((1,), {})] * 3)
    limited_tasks.single.using(queue_name="mail").enqueue()
    queues.pause("mail", reason="The provider is down", changed_by="ada")

    start_worker(0, drain=True).join()

    text = describe_unfinished("default", "default")
    assert "3 ready in queues that this worker does not serve or that are paused" in text
    assert "1 limited" in text
    assert "Queue 'mail' is paused by ada: The provider is down." in text
