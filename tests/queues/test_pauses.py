"""Pausing and resuming queues, and what is known of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from offload import JobState, queues
from offload.models import Queue
from offload.notifier import Hint
from offload.store import get_store
from offload.testing import immediate, recording, run_jobs
from tests import limited_tasks
from tests.tasks import add

pytestmark = pytest.mark.django_db

ANY_QUEUE: Any = {"default": {"BACKEND": "offload.backends.database.DatabaseBackend", "QUEUES": []}}


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[Hint]:
    sent: list[Hint] = []
    monkeypatch.setattr(
        "offload.store.pauses.publish_after_commit", lambda _using, *hints: sent.extend(hints)
    )
    return sent


def test_a_pause_says_who_made_it_why_and_until_when() -> None:
    before = timezone.now()

    queue = queues.pause(
        "mail", reason=" The provider is down ", until=timedelta(hours=1), changed_by="ada"
    )

    assert queue.is_paused
    assert (queue.reason, queue.changed_by) == ("The provider is down", "ada")
    assert queue.paused_at is not None
    assert queue.paused_until is not None
    assert before <= queue.paused_at <= timezone.now()
    assert queue.paused_until == queue.paused_at + timedelta(hours=1)
    assert queues.get("mail") == queue


def test_a_second_pause_replaces_the_first() -> None:
    queues.pause("mail", reason="one", until=timedelta(hours=1), public=True)

    queue = queues.pause("mail", reason="two")

    assert (queue.reason, queue.paused_until, queue.is_reason_public) == ("two", None, False)
    assert Queue.objects.count() == 1


def test_a_resumed_queue_keeps_nothing_of_its_pause() -> None:
    unpaused = queues.get("mail")
    queues.pause("mail", reason="bug", until=timedelta(hours=1), public=True, changed_by="ada")

    assert queues.resume("mail") == queues.get("mail") == unpaused
    assert queues.resume("mail") == unpaused


def test_a_pause_ends_by_itself() -> None:
    queues.pause("mail", until=timedelta(hours=1))
    Queue.objects.update(paused_until=timezone.now() - timedelta(microseconds=1))

    assert not queues.get("mail").is_paused
    assert get_store("default").queue_pauses("default") == {}


def test_a_naive_end_is_in_the_current_time_zone() -> None:
    end = datetime(2100, 1, 1, 12, 0)  # noqa: DTZ001  # as an operator writes it

    with timezone.override("Asia/Tokyo"):
        queue = queues.pause("mail", until=end)

    assert queue.paused_until == datetime(2100, 1, 1, 3, 0, tzinfo=UTC)


def test_a_pause_of_one_backend_is_none_of_another() -> None:
    queues.pause("mail")

    assert get_store("default").queue_pauses("other") == {}


def test_the_jobs_of_a_queue_are_counted_by_what_they_wait_for() -> None:
    add.using(queue_name="mail").enqueue_many([((1,), {})] * 2)
    add.using(queue_name="mail", run_after=timedelta(hours=1)).enqueue(1)
    limited_tasks.single.using(queue_name="mail").enqueue()
    add.enqueue(1)

    queue = queues.get("mail")

    assert (queue.waiting, queue.scheduled, queue.running) == (3, 1, 0)


def test_queues_are_listed_if_the_settings_name_them_or_they_are_paused_or_have_jobs() -> None:
    assert [queue.name for queue in queues.list()] == ["default", "mail", "slow"]
    with override_settings(TASKS=ANY_QUEUE):
        assert queues.list() == []
        add.using(queue_name="any").enqueue(1)
        queues.pause("mail")

        assert [(queue.name, queue.waiting) for queue in queues.list()] == [
            ("any", 1),
            ("mail", 0),
        ]


def test_a_pause_is_part_of_the_callers_transaction() -> None:
    with transaction.atomic():
        queues.pause("mail")
        transaction.set_rollback(True)

    assert not queues.get("mail").is_paused


def test_workers_are_told_of_a_pause_and_of_its_end(hints: list[Hint]) -> None:
    queues.pause("mail")
    queues.resume("mail")

    assert hints == [Hint.QUEUES, Hint.QUEUES]


@pytest.mark.parametrize("verb", [queues.pause, queues.resume, queues.get])
def test_a_queue_that_the_settings_do_not_list_is_unknown(verb: Any) -> None:
    with pytest.raises(LookupError, match=r"no queue 'mial'\. Did you mean 'mail'\?"):
        verb("mial")


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("", {}, ValueError, "queue name '' must be text"),
        ("a,b", {}, ValueError, "queue name 'a,b' must be text"),
        ("mail", {"reason": None}, TypeError, "reason must be text, not None"),
        ("mail", {"changed_by": 7}, TypeError, "changed_by must be text, not 7"),
        ("mail", {"changed_by": "x" * 151}, ValueError, "more than 150 characters"),
        ("mail", {"public": True}, ValueError, "public=True shows the reason"),
        ("mail", {"until": 60}, TypeError, "a datetime, or a timedelta .* not 60"),
        ("mail", {"until": timedelta(0)}, ValueError, "until must be in the future"),
        ("mail", {"until": timedelta(days=99_999)}, TypeError, "at most 100 years"),
    ],
)
def test_bad_arguments_are_refused(
    name: str, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with override_settings(TASKS=ANY_QUEUE), pytest.raises(error, match=message):
        queues.pause(name, **arguments)

    assert not Queue.objects.exists()


# --- in tests of projects -----------------------------------------------------------------------


def test_run_jobs_leaves_the_jobs_of_a_paused_queue() -> None:
    mail = add.using(queue_name="mail").enqueue(1)
    limited = limited_tasks.single.using(queue_name="mail").enqueue()
    later = add.using(queue_name="mail", run_after=timedelta(hours=1)).enqueue(1)
    other = add.enqueue(1)
    queues.pause("mail")

    assert [job.id for job in run_jobs(include_scheduled=True)] == [other.id]
    assert run_jobs(queue_name="mail") == []
    queues.resume("mail")
    assert {job.id for job in run_jobs(include_scheduled=True)} == {mail.id, limited.id, later.id}


@pytest.mark.django_db(databases=[])
def test_recorded_jobs_of_a_paused_queue_wait() -> None:
    with recording():
        mail = add.using(queue_name="mail").enqueue(1)
        other = add.enqueue(1)
        queue = queues.pause("mail", until=timedelta(hours=1))

        assert (queue.is_paused, queue.waiting) == (True, 1)
        assert [job.id for job in run_jobs(include_scheduled=True)] == [other.id]
        assert not queues.resume("mail").is_paused
        assert [job.id for job in run_jobs()] == [mail.id]
    with recording():
        assert not any(queue.is_paused for queue in queues.list())


@pytest.mark.django_db(databases=[])
def test_jobs_of_a_paused_queue_do_not_run_immediately() -> None:
    with immediate():
        queues.pause("default")
        result = add.enqueue(1)
        assert result.state == JobState.READY
        queues.resume("default")
        run_jobs()
        result.refresh()
        assert result.state == JobState.SUCCESSFUL
