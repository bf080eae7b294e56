"""The worker inside a process of a fleet, which gets messages about jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.tasks import default_task_backend

from offload import JobState, queues
from offload.models import Attempt, Job, Worker
from offload.store import get_store
from offload.store.queries import serves
from offload.worker.config import make_in_process_pool
from offload.worker.fleet import received_jobs
from offload.worker.fleet.engine import FleetEngine, FleetWorker
from offload.worker.fleet.pool import FleetPool
from offload.worker.fleet.tickets import Ticket
from offload.worker.pools import capacity
from tests import limited_tasks
from tests.tasks import aadd, add, anything, fail, fail_thrice
from tests.worker.conftest import has_started, until
from tests.worker.progress_tasks import report_then_hold
from tests.worker.tasks import atomic_add

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., FleetWorker]


@pytest.fixture
def start(transactional_db: None, child_environment: None) -> Iterator[Start]:
    started: list[FleetWorker] = []

    def start(threads: int = 1, *, consumed: Sequence[str] = (), **options: Any) -> FleetWorker:
        backend: Any = default_task_backend
        settings = replace(backend.settings, processes=0, threads=threads, **options)
        pool = make_in_process_pool(settings, FleetPool)
        engine = FleetEngine(backend="default", consumed=consumed, options=settings, pool=pool)
        started.append(FleetWorker(engine))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()


def keys(*results: Any) -> list[str]:
    return [get_store("default").key(UUID(result.id)) for result in results]


def run(
    worker: FleetWorker,
    ids: list[str],
    *,
    queue: str = "default",
    is_async: bool = False,
    has_limit: bool = False,
    may_wait: bool = False,
) -> None:
    ticket = Ticket(queue, is_async=is_async, ids=ids, has_limit=has_limit, may_wait=may_wait)
    worker.run(ticket)


def state(result: Any) -> JobState:
    return JobState(Job.objects.get(pk=result.id).state)


def test_a_message_returns_once_the_outcomes_of_its_jobs_are_written(start: Start) -> None:
    jobs = [add.enqueue(number, b=1) for number in range(40)]

    run(start(), keys(*jobs))

    rows = Job.objects.in_bulk([UUID(job.id) for job in jobs])
    assert [rows[UUID(job.id)].return_value for job in jobs] == [str(n + 1) for n in range(40)]
    assert {row.fence for row in rows.values()} == {1}


def test_jobs_that_no_message_names_are_left_alone(start: Start) -> None:
    named, other = add.enqueue(1), add.enqueue(2)

    run(start(), keys(named))

    assert (state(named), state(other)) == (JobState.SUCCESSFUL, JobState.READY)


def test_a_doubled_message_runs_nothing_twice(start: Start) -> None:
    result = add.enqueue(1)
    worker = start()

    for _ in range(3):
        run(worker, keys(result))

    assert Job.objects.get(pk=result.id).fence == 1


def test_a_message_about_a_running_job_returns_at_once(start: Start, gate: Path) -> None:
    result = report_then_hold.enqueue(str(gate), 1)
    worker = start(threads=2)
    first = threading.Thread(target=run, args=(worker, keys(result)))
    first.start()
    until(lambda: has_started(result))

    run(start(), keys(result))

    assert state(result) == JobState.RUNNING
    gate.touch()
    first.join()
    assert (state(result), Job.objects.get(pk=result.id).fence) == (JobState.SUCCESSFUL, 1)


def test_async_tasks_and_atomic_ones_run(start: Start) -> None:
    concurrent, atomic = aadd.enqueue(1, b=2), atomic_add.enqueue(1, b=2)
    worker = start()

    run(worker, keys(concurrent), is_async=True)
    run(worker, keys(atomic))

    assert (state(concurrent), state(atomic)) == (JobState.SUCCESSFUL, JobState.SUCCESSFUL)


def test_failures_and_retries_are_stored(start: Start) -> None:
    failed, retried = fail.enqueue("why"), fail_thrice.enqueue()
    worker = start()

    run(worker, keys(failed, retried))

    assert (state(failed), state(retried)) == (JobState.FAILED, JobState.READY)
    for _ in range(2):  # as after the messages that a worker with duties sends
        run(worker, keys(retried))
    assert state(retried) == JobState.FAILED
    assert Attempt.objects.filter(job_id=retried.id).count() == 3


def test_jobs_of_a_paused_queue_do_not_start(start: Start) -> None:
    queues.pause("mail")
    result = add.using(queue_name="mail").enqueue(1)

    run(start(), keys(result), queue="mail")

    assert state(result) == JobState.READY


def test_jobs_of_a_paused_task_are_put_aside(start: Start) -> None:
    add.pause()
    paused, other = add.enqueue(1), anything.enqueue()

    run(start(), keys(paused, other))

    assert (state(paused), state(other)) == (JobState.LIMITED, JobState.SUCCESSFUL)


def test_a_cancelled_job_is_stopped(start: Start, gate: Path) -> None:
    result = report_then_hold.enqueue(str(gate), 1)
    worker = start()
    running = threading.Thread(target=run, args=(worker, keys(result)))
    running.start()
    until(lambda: has_started(result))

    result.cancel()

    running.join(20)
    assert state(result) == JobState.CANCELLED


def test_a_job_that_runs_too_long_is_stopped(start: Start, gate: Path) -> None:
    result = report_then_hold.using(timeout=0.2).enqueue(str(gate), 1)

    run(start(), keys(result))

    assert state(result) == JobState.FAILED
    assert result.refresh() is None
    assert result.errors[0].exception_class.__name__ == "JobTimeout"


def test_jobs_that_wait_behind_a_long_one_are_left_to_other_processes(
    start: Start, gate: Path
) -> None:
    """They wait for a moment, and are claimed by none meanwhile: another message offers them."""
    long = report_then_hold.enqueue(str(gate), 1)
    worker = start()
    first = threading.Thread(target=run, args=(worker, keys(long)))
    first.start()
    until(lambda: has_started(long))
    others = [add.enqueue(number) for number in range(3)]

    run(worker, keys(*others))

    assert state(long) == JobState.RUNNING
    assert {state(job) for job in others} == {JobState.READY}
    gate.touch()
    first.join()


def test_jobs_that_would_wait_for_a_slot_are_not_claimed(start: Start, gate: Path) -> None:
    """Or the database would say that they run, and they would be lost with the running one."""
    worker = start()
    run(worker, keys(*(add.enqueue(number) for number in range(100))))  # short ones
    long = report_then_hold.enqueue(str(gate), 1)
    others = [add.enqueue(number) for number in range(3)]
    running = threading.Thread(target=run, args=(worker, keys(long, *others)))
    running.start()
    until(lambda: has_started(long))

    fences = {Job.objects.get(pk=job.id).fence for job in others}

    gate.touch()
    running.join(20)
    assert fences == {0}


@pytest.fixture
def claims_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks count as short that have run once, on machines however slow."""
    monkeypatch.setattr(capacity, "MAX_WAITING_SECONDS", 1e6)


def test_short_jobs_that_may_wait_are_claimed_together(
    start: Start, claims_far_ahead: None, takes_nothing_back: None
) -> None:
    jobs = [add.enqueue(number, b=1) for number in range(100)]

    run(start(), keys(*jobs), may_wait=True)

    rows = Job.objects.in_bulk([UUID(job.id) for job in jobs])
    assert [rows[UUID(job.id)].return_value for job in jobs] == [str(n + 1) for n in range(100)]
    assert {row.fence for row in rows.values()} == {1}
    assert len({row.last_attempted_at for row in rows.values()}) <= 20  # claims


def test_a_process_holds_few_jobs_until_it_knows_how_long_they_take(
    start: Start, claims_far_ahead: None, takes_nothing_back: None, gate: Path
) -> None:
    jobs = [report_then_hold.enqueue(str(gate), 1) for _ in range(10)]
    running = start_message(start(), jobs)

    until(lambda: has_started(jobs[0]))
    fences = [Job.objects.get(pk=job.id).fence for job in jobs]

    gate.touch()
    running.join(20)
    assert fences == [1] + 9 * [0]


def start_message(worker: FleetWorker, jobs: list[Any]) -> threading.Thread:
    """Run the jobs of a message, which may wait in the process, in a thread."""
    running = threading.Thread(target=run, args=(worker, keys(*jobs)), kwargs={"may_wait": True})
    running.start()
    return running


def hold_ahead(worker: FleetWorker, gate: Path) -> tuple[threading.Thread, Any, list[Any]]:
    """Let a task that used to be short run on, while other jobs wait behind it."""
    is_open = gate.with_name("open")
    is_open.touch()
    run(worker, keys(*(report_then_hold.enqueue(str(is_open), 1) for _ in range(5))))
    long = report_then_hold.enqueue(str(gate), 1)
    others = [add.enqueue(number) for number in range(3)]
    running = start_message(worker, [long, *others])
    until(lambda: has_started(long))
    return running, long, others


def test_jobs_that_wait_behind_a_long_one_are_given_back(
    start: Start, claims_far_ahead: None, gate: Path
) -> None:
    running, long, others = hold_ahead(start(), gate)

    until(lambda: [Job.objects.get(pk=job.id).fence for job in others] == [1, 1, 1])
    until(lambda: {state(job) for job in others} == {JobState.READY})

    assert state(long) == JobState.RUNNING
    gate.touch()
    running.join(20)
    assert {Job.objects.get(pk=job.id).attempt for job in others} == {0}


def test_jobs_that_wait_are_given_back_when_the_worker_stops(
    start: Start, claims_far_ahead: None, takes_nothing_back: None, gate: Path
) -> None:
    worker = start()
    _, long, others = hold_ahead(worker, gate)
    until(lambda: {state(job) for job in others} == {JobState.RUNNING})
    stopping = threading.Thread(target=worker.stop)

    stopping.start()

    until(lambda: {state(job) for job in others} == {JobState.READY})
    gate.touch()
    stopping.join(20)
    assert state(long) == JobState.SUCCESSFUL
    assert {Job.objects.get(pk=job.id).worker_losses for job in others} == {0}


def test_a_stopped_worker_leaves_no_row_and_refuses_messages(start: Start) -> None:
    worker = start()
    run(worker, keys(add.enqueue(1)))
    assert Worker.objects.count() == 1

    worker.stop()

    assert Worker.objects.count() == 0
    with pytest.raises(RuntimeError, match="has stopped"):
        run(worker, keys(add.enqueue(1)))


def test_the_row_names_the_queues_of_which_the_process_gets_messages(start: Start) -> None:
    start(consumed=["default", "mail"])

    until(Worker.objects.exists)  # before the first message

    row = Worker.objects.get()
    assert (row.queues, serves(row, "mail"), serves(row, "slow")) == ("default,mail", True, False)


def test_tasks_run_under_the_id_of_the_row(start: Start) -> None:
    result = add.enqueue(1)

    run(start(), keys(result))

    assert Job.objects.get(pk=result.id).worker == Worker.objects.get().pk


def test_progress_is_seen_while_the_job_runs(start: Start, gate: Path) -> None:
    result = report_then_hold.enqueue(str(gate), 3)
    worker = start()
    running = threading.Thread(target=run, args=(worker, keys(result)))
    running.start()

    until(lambda: Job.objects.get(pk=result.id).progress)

    gate.touch()
    running.join()


# --- limits ---------------------------------------------------------------------------------


def test_jobs_of_a_task_with_a_limit_keep_to_it(start: Start, gate: Path) -> None:
    """The second message ends at once, and the end of the first job lets the second one run."""
    jobs = [limited_tasks.one_at_a_time.enqueue(str(gate)) for _ in range(2)]
    first, second = start(threads=2), start(threads=2)
    running = threading.Thread(target=run, args=(first, keys(jobs[0])), kwargs={"has_limit": True})
    running.start()
    until(lambda: Job.objects.filter(state=JobState.RUNNING).exists())

    run(second, keys(jobs[1]), has_limit=True)

    assert Job.objects.filter(state=JobState.RUNNING).count() == 1
    gate.touch()
    running.join(20)
    until(lambda: {state(job) for job in jobs} == {JobState.SUCCESSFUL} or _nudge(second))


def _nudge(worker: FleetWorker) -> None:
    """Send the message that a worker with duties sends where jobs may start."""
    run(worker, ["any"], has_limit=True)


def test_a_chain_of_jobs_with_a_limit_needs_one_message(start: Start) -> None:
    jobs = [limited_tasks.single.enqueue() for _ in range(5)]

    run(start(), ["any"], has_limit=True)

    assert {state(job) for job in jobs} == {JobState.SUCCESSFUL}


@pytest.mark.parametrize("atomic", [False, True])
def test_jobs_of_a_queue_with_a_limit_keep_to_it(start: Start, gate: Path, atomic: bool) -> None:
    queues.limit("mail", concurrency=1)
    long = report_then_hold.using(queue_name="mail").enqueue(str(gate), 1)
    task, arguments = (atomic_add, {"a": 1, "b": 2}) if atomic else (add, {"a": 1})
    short = task.using(queue_name="mail").enqueue(**arguments)
    worker = start(threads=3)
    running = threading.Thread(target=run, args=(worker, keys(long)), kwargs={"queue": "mail"})
    running.start()
    until(lambda: has_started(long))

    run(worker, keys(short), queue="mail")

    assert (state(long), state(short)) == (JobState.RUNNING, JobState.READY)
    gate.touch()
    running.join(20)
    run(worker, keys(short), queue="mail")
    assert (state(long), state(short)) == (JobState.SUCCESSFUL, JobState.SUCCESSFUL)


def test_a_queue_with_a_limit_does_not_wait_for_the_slots_of_another(
    start: Start, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the process poll without a pause, as it did while it had no slot for the first."""
    monkeypatch.setattr(received_jobs, "MAX_WAITING_SECONDS", 1e6)
    for queue in ("mail", "slow"):
        queues.limit(queue, concurrency=1)
    worker = start()
    long, held_up = report_then_hold.enqueue(str(gate), 1), add.using(queue_name="mail").enqueue(1)
    runs = [threading.Thread(target=run, args=(worker, keys(long)))]
    runs[0].start()
    until(lambda: has_started(long))
    mail = Ticket("mail", is_async=False, ids=keys(held_up))
    runs.append(threading.Thread(target=worker.run, args=(mail,)))
    runs[1].start()
    until(lambda: mail in worker._engine.poller._tickets)
    other = aadd.using(queue_name="slow").enqueue(1, b=2)
    options = {"queue": "slow", "is_async": True}
    runs.append(threading.Thread(target=run, args=(worker, keys(other)), kwargs=options))
    runs[2].start()

    runs[2].join(20)
    assert (state(long), state(other)) == (JobState.RUNNING, JobState.SUCCESSFUL)
    assert not worker._engine.poller.should_claim(worker._engine.pool)
    gate.touch()
    for each in runs:
        each.join(20)
    assert state(held_up) == JobState.SUCCESSFUL
