"""CeleryBackend: rows in the caller's transaction, messages after its commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.test import override_settings

from offload.backends.celery import backend as backend_module
from offload.backends.messages import JobMessage
from offload.models import Job
from offload.store import get_store
from tests.tasks import aadd, add, two_at_once
from tests.worker.tasks import die_at_most_once

pytestmark = pytest.mark.django_db(transaction=True)


class FakeMessenger:
    resend_after = 15.0
    failures = 0

    def __init__(self) -> None:
        self.sent: list[JobMessage] = []

    def send(self, messages: Iterable[JobMessage]) -> None:
        self.sent += messages


@pytest.fixture
def messenger(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMessenger]:
    messenger = FakeMessenger()
    monkeypatch.setattr(backend_module, "get_messenger", lambda alias, options: messenger)
    path = "offload.backends.celery.CeleryBackend"
    with override_settings(TASKS={"default": {"BACKEND": path, "QUEUES": []}}):
        yield messenger


def key(result: object) -> str:
    return get_store("default").key(UUID(result.id))  # type: ignore[attr-defined]


def test_a_message_follows_the_commit(messenger) -> None:
    with transaction.atomic():
        first = add.using(priority=5).enqueue(1)
        second = aadd.using(queue_name="mail").enqueue(1)
        assert messenger.sent == []

    assert messenger.sent == [
        ("default", False, 5, key(first), False, True),
        ("mail", True, 0, key(second), False, True),
    ]


def enqueue_and_fail() -> None:
    with transaction.atomic():
        add.enqueue(1)
        raise ZeroDivisionError


def test_a_rollback_leaves_neither_row_nor_message(messenger) -> None:
    with pytest.raises(ZeroDivisionError):
        enqueue_and_fail()
    with transaction.atomic(), pytest.raises(ZeroDivisionError):
        enqueue_and_fail()

    assert (messenger.sent, Job.objects.count()) == ([], 0)


def test_outside_a_transaction_it_is_sent_at_once(messenger) -> None:
    results = add.enqueue_many([((1,), {}), ((2,), {})])

    assert [message.id for message in messenger.sent] == [key(result) for result in results]


def test_jobs_that_cannot_run_now_have_no_message(messenger) -> None:
    add.using(run_after=timedelta(hours=1)).enqueue(1)

    assert messenger.sent == []


def test_the_message_of_a_job_with_a_limit_says_so(messenger) -> None:
    result = two_at_once.enqueue()

    assert messenger.sent == [("default", False, 0, key(result), True, True)]


def test_the_message_of_a_job_that_must_not_wait_while_it_is_claimed_says_so(messenger) -> None:
    add.enqueue(1)
    add.using(timeout=60).enqueue(1)
    die_at_most_once.enqueue()

    assert [message.may_wait for message in messenger.sent] == [True, False, False]
