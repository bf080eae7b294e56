"""Full queues refuse jobs: about, at most one look a second, and all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from offload import JobState, QueueFull, queues
from offload.backends import queue_guard
from offload.backends.base import get_backend
from offload.backends.queue_guard import (
    MAX_RETRY_AFTER,
    PROBE_INTERVAL,
    PROBE_TIME_FACTOR,
    RETRY_AFTER,
    SEARCH_INTERVAL,
    QueueGuard,
)
from offload.conf import BackendOptions
from offload.models import Job, Schedule
from offload.ownership import Ownership, ownership_from
from offload.policies import Rate
from offload.store import get_store
from offload.testing import immediate, recording, run_jobs
from offload.worker.upkeep.schedules import ScheduleUpkeep
from tests import limited_tasks
from tests.schedules.factories import make_due
from tests.schedules.tasks import note
from tests.tasks import add
from tests.worker.clock import Clock

pytestmark = pytest.mark.django_db

SMALL: Any = {"queue_limits": {"mail": {"max_queued": 3}}}
mail = add.using(queue_name="mail")


class Poller(SimpleNamespace):
    """What a worker's upkeep of schedules knows of the poller."""

    schedules_at = 0.0

    def jobs_made_ready(self) -> None:
        """Do nothing."""


@pytest.fixture(autouse=True)
def _no_guards() -> Iterator[None]:
    queue_guard._guards.clear()
    yield
    queue_guard._guards.clear()


@pytest.fixture
def small() -> Iterator[None]:
    """A queue of the settings in which three jobs may wait."""
    backend: Any = {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": SMALL,
    }
    with override_settings(TASKS={"default": backend}):
        yield


def enqueue(count: int) -> int:
    """Enqueue jobs one by one until one is refused; return how many were not."""
    for number in range(count):
        try:
            mail.enqueue(number)
        except QueueFull:
            return number
    return count


@pytest.mark.usefixtures("small")
def test_a_full_queue_refuses_a_job_and_says_which_one_it_is() -> None:
    assert enqueue(5) == 3

    with pytest.raises(QueueFull, match=r"The queue 'mail' takes no more jobs: about 3") as raised:
        mail.enqueue(1)

    assert (raised.value.queue_name, raised.value.max_queued) == ("mail", 3)
    assert raised.value.retry_after == RETRY_AFTER
    assert Job.objects.count() == 3
    add.enqueue(1)


@pytest.mark.usefixtures("small")
def test_many_jobs_are_taken_together_or_not_at_all() -> None:
    mail.enqueue(1)

    with pytest.raises(QueueFull):
        mail.enqueue_many([((number,), {}) for number in range(3)])

    assert Job.objects.count() == 1
    assert len(mail.enqueue_many([((number,), {}) for number in range(2)])) == 2
    assert mail.enqueue_many([]) == []


@pytest.mark.usefixtures("small")
def test_jobs_that_wait_for_their_limit_count() -> None:
    limited_tasks.single.using(queue_name="mail").enqueue_many([((), {})] * 2)
    queue_guard._guards.clear()  # another process

    assert enqueue(5) == 1


@pytest.mark.usefixtures("small")
def test_scheduled_jobs_neither_count_nor_are_refused() -> None:
    later = mail.using(run_after=timedelta(hours=1))
    for number in range(4):
        later.enqueue(number)

    assert enqueue(5) == 3
    later.enqueue(1)


@pytest.mark.usefixtures("small")
def test_a_job_may_enqueue_others_into_a_full_queue() -> None:
    enqueue(3)
    parent = Job.objects.first()
    assert parent is not None

    with ownership_from(lambda _: Ownership(parent=str(parent.pk))):
        mail.enqueue(1)

    assert Job.objects.count() == 4


@pytest.mark.usefixtures("small")
def test_a_queue_takes_jobs_again_when_others_have_run() -> None:
    enqueue(3)
    run_jobs(queue_name="mail")

    assert enqueue(5) == 3


def test_an_operator_limits_a_queue_without_a_restart() -> None:
    assert enqueue(2) == 2

    queue = queues.limit("mail", max_queued=3, reason="Too much", changed_by="ada")

    assert queue.limits.max_queued == 3
    assert queue.settings.max_queued is None
    assert (queue.limits_reason, queue.limits_changed_by) == ("Too much", "ada")
    assert queue.limits_changed_at is not None
    assert enqueue(5) == 1


@pytest.mark.usefixtures("small")
def test_an_operators_limit_wins_until_it_is_reset() -> None:
    queues.limit("mail", max_queued=None)
    assert enqueue(5) == 5
    queues.limit("mail", max_queued=7)
    assert enqueue(5) == 2

    queue = queues.reset_limits("mail")

    assert queue.limits == queue.settings
    assert (queue.limits_reason, queue.limits_changed_at) == ("", None)
    assert enqueue(1) == 0


def test_a_limit_that_is_rolled_back_is_forgotten() -> None:
    with transaction.atomic():
        queues.limit("mail", max_queued=1)
        assert enqueue(5) == 1
        transaction.set_rollback(True)

    assert enqueue(5) == 5


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        ({}, ValueError, "Nothing to limit: pass one of concurrency"),
        ({"concurrency": 0}, ValueError, "concurrency must be a whole number from 1"),
        ({"rate": 14}, ValueError, "A rate is text"),
        ({"rate": Rate("1/s", name="crm")}, ValueError, "neither a key nor a name"),
        ({"max_queued": 0}, ValueError, "max_queued must be a whole number from 1"),
        ({"max_queued": "9"}, ValueError, "not '9'"),
        ({"max_size": 9}, TypeError, "no limit 'max_size'. Choices are: concur"),
        ({"max_queued": 1, "changed_by": "x" * 151}, ValueError, "more than 150 characters"),
    ],
)
def test_bad_limits_are_refused(
    limits: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        queues.limit("mail", **limits)


def test_a_limit_and_a_pause_do_not_replace_each_other() -> None:
    queues.pause("mail", reason="bug")
    queues.limit("mail", max_queued=3)
    queues.pause("mail", reason="bug 17")
    queue = queues.resume("mail")

    assert queue.limits.max_queued == 3
    queues.pause("mail")
    assert queues.reset_limits("mail").is_paused


# --- how often a process looks -------------------------------------------------------------------


class Looks:
    """A guard, and the looks that it takes.

    Args:
        options: of the backend.
    """

    def __init__(self, options: Any) -> None:
        self.clock = Clock()
        self.guard = QueueGuard("default", BackendOptions(**options), clock=self.clock)
        self.rules, self.counts = 0, 0
        self.seconds = 0.0
        store = get_store("default")

        def read_rules(backend: str, *, is_logged: bool) -> Any:
            assert not is_logged
            self.rules += 1
            return store.queue_rules(backend)

        def count(*arguments: Any) -> int:
            self.counts += 1
            self.clock.now += self.seconds
            return store.count_waiting(*arguments)

        self._store: Any = SimpleNamespace(
            using="default",
            connection=connection,
            queue_rules=read_rules,
            count_waiting=count,
            prepare_read_before_insert=lambda: None,
        )

    def admit(self, *, seconds: float = 10, step: float = 0.1) -> None:
        """Admit jobs for some time."""
        for _ in range(round(seconds / step)):
            self.guard.admit(self._store, "mail", 0)
            self.clock.now += step

    def take(self, count: int = 1) -> None:
        self.guard.admit(self._store, "mail", count)


def test_without_limits_a_process_looks_for_some_every_ten_seconds() -> None:
    looks = Looks({})

    looks.admit(seconds=2 * SEARCH_INTERVAL)

    assert (looks.rules, looks.counts) == (2, 0)


def test_with_a_limit_a_process_looks_every_second() -> None:
    looks = Looks(SMALL)

    looks.admit(seconds=10 * PROBE_INTERVAL)

    assert looks.rules == looks.counts == pytest.approx(10, abs=1)


def test_a_slow_look_is_repeated_less_often() -> None:
    looks = Looks(SMALL)
    looks.seconds = 1.0

    looks.admit(seconds=2 * PROBE_TIME_FACTOR)

    assert looks.counts <= 3


def test_between_two_looks_a_process_counts_its_own_jobs() -> None:
    looks = Looks(SMALL)
    looks.take(2)
    looks.take(1)
    with pytest.raises(QueueFull):
        looks.take(1)

    looks.clock.now += PROBE_INTERVAL
    looks.take(3)  # nobody has added any


@pytest.mark.parametrize(
    ("seconds", "retry_after"), [(None, RETRY_AFTER), (1, RETRY_AFTER), (600, 600), (9e4, 3600)]
)
def test_a_caller_of_a_paused_queue_tries_again_when_the_pause_has_ended(
    seconds: float | None, retry_after: float
) -> None:
    queues.pause("mail", until=None if seconds is None else timedelta(seconds=seconds))
    looks = Looks(SMALL)

    with pytest.raises(QueueFull) as raised:
        looks.take(4)

    assert raised.value.retry_after == pytest.approx(retry_after, abs=5)
    assert raised.value.retry_after <= MAX_RETRY_AFTER


def test_looks_are_not_in_the_log_of_queries() -> None:
    queues.limit("mail", max_queued=3)
    with CaptureQueriesContext(connection) as captured:
        mail.enqueue(1)

    assert len(captured) == 1


def test_nobody_waits_for_another_thread_that_looks() -> None:
    looks = Looks(SMALL)
    with looks.guard._lock:
        looks.take(100)

    assert looks.rules == 0


# --- settings and tests of projects --------------------------------------------------------------


def test_a_queue_that_is_not_in_queues_is_an_error() -> None:
    backend: Any = {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"queue_limits": {"mial": {"max_queued": 3}}},
    }
    with override_settings(TASKS={"default": backend}):
        (error,) = get_backend("default").check()

    assert "names the queue 'mial', which is not in QUEUES. Did you mean 'mail'?" in error.msg


@pytest.mark.django_db(databases=[])
@pytest.mark.usefixtures("small")
def test_the_recording_backend_knows_full_queues() -> None:
    with recording():
        assert enqueue(5) == 3
        with pytest.raises(QueueFull):
            mail.enqueue_many([((1,), {})])
        run_jobs()
        assert enqueue(5) == 3
        queues.limit("mail", max_queued=None)
        assert enqueue(5) == 5
        assert queues.reset_limits("mail").limits.max_queued == 3
        assert enqueue(1) == 0


@pytest.mark.django_db(databases=[])
@pytest.mark.usefixtures("small")
def test_the_immediate_backend_is_full_only_while_the_queue_is_paused() -> None:
    with immediate():
        assert enqueue(5) == 5
        queues.pause("mail")
        assert enqueue(5) == 3
        queues.resume("mail")
        assert {job.state for job in run_jobs()} == {JobState.SUCCESSFUL}


@pytest.mark.usefixtures("small")
def test_a_tick_waits_while_its_queue_is_full(caplog: pytest.LogCaptureFixture) -> None:
    make_due(task=note, queue_name="mail")
    upkeep = ScheduleUpkeep(get_store("default"), "default", SimpleNamespace(), Poller())  # type: ignore[arg-type]
    enqueue(3)

    upkeep.fire()
    assert not Job.objects.filter(schedule="nightly").exists()
    assert "The tick of the schedule 'nightly' waits: the queue 'mail' is full." in caplog.text

    Job.objects.all().delete()
    queue_guard._guards.clear()
    Schedule.objects.update(next_run_at=timezone.now())
    upkeep.fire()
    assert Job.objects.get().schedule == "nightly"


def test_a_tick_of_a_backend_that_this_project_lacks_asks_no_queue() -> None:
    make_due()
    Schedule.objects.update(backend="another")
    upkeep = ScheduleUpkeep(get_store("default"), "default", SimpleNamespace(), Poller())  # type: ignore[arg-type]

    upkeep.fire()

    assert Job.objects.get().backend == "another"
