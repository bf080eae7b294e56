"""Operations that change jobs notify listeners after the commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from offload.lifecycle import JobState
from offload.models import Job
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.store.hints import publish_after_commit
from tests.jobs import move_to_state
from tests.tasks import add

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Hint]:
    hints: list[Hint] = []
    monkeypatch.setattr(type(get_notifier("default")), "notify", lambda _, hint: hints.append(hint))
    return hints


OPERATIONS: list[tuple[str, JobState, Callable[[UUID], object], set[Hint]]] = [
    ("cancel", JobState.READY, lambda pk: get_store("default").cancel(pk), {Hint.CHANGED}),
    (
        "stop",
        JobState.RUNNING,
        lambda pk: get_store("default").cancel(pk),
        {Hint.CONTROL, Hint.CHANGED},
    ),
    (
        "retry",
        JobState.FAILED,
        lambda pk: get_store("default").retry(pk),
        {Hint.WORK, Hint.CHANGED},
    ),
    (
        "run_now",
        JobState.SCHEDULED,
        lambda pk: get_store("default").run_now(pk),
        {Hint.WORK, Hint.CHANGED},
    ),
]


@pytest.mark.parametrize(
    ("state", "operation", "hints"), [pytest.param(*case, id=name) for name, *case in OPERATIONS]
)
def test_an_operation_sends_its_hints_after_the_commit(sent, state, operation, hints):
    result = add.enqueue(1)
    move_to_state(result, state)
    sent.clear()

    with transaction.atomic():
        assert operation(UUID(result.id))
        assert sent == []

    assert sorted(sent) == sorted(hints)


@pytest.mark.parametrize("operation", ["cancel", "retry", "run_now"])
def test_an_operation_that_changes_nothing_sends_no_hint(sent, operation):
    result = add.enqueue(1)
    move_to_state(result, JobState.SUCCESSFUL)
    sent.clear()

    assert not getattr(get_store("default"), operation)(UUID(result.id))

    assert sent == []


def test_enqueueing_sends_a_hint(sent):
    add.enqueue(1)
    add.enqueue_many([((1,), {}), ((2,), {})])

    assert sent == [Hint.WORK] * 2


def test_many_changes_in_one_transaction_send_each_hint_once(sent):
    with transaction.atomic():
        for number in range(50):
            result = add.enqueue(number)
            with transaction.atomic():
                get_store("default").cancel(UUID(result.id))

    assert sorted(sent) == [Hint.CHANGED, Hint.WORK]
    assert Job.objects.filter(state=JobState.CANCELLED).count() == 50


def test_a_rollback_sends_no_hint(sent):
    with transaction.atomic():
        add.enqueue(1)
        transaction.set_rollback(True)

    assert sent == []


@pytest.mark.parametrize("rolled_back", [0, 1, 2])
def test_a_hint_outlives_a_savepoint_that_is_rolled_back(sent, rolled_back):
    with transaction.atomic():
        for number in range(3):
            with contextlib.suppress(IntegrityError), transaction.atomic():
                add.enqueue(number)
                if number == rolled_back:
                    raise IntegrityError

    assert sent == [Hint.WORK]


def test_a_hint_goes_with_the_savepoint_of_all_its_changes(sent):
    with transaction.atomic(), contextlib.suppress(IntegrityError), transaction.atomic():
        for number in range(3):
            add.enqueue(number)
        raise IntegrityError

    assert sent == []


def test_a_hint_that_cannot_be_sent_does_not_fail_the_caller(monkeypatch, caplog):
    def fail(_: object, hint: Hint) -> None:
        raise OSError(f"no {hint}")

    monkeypatch.setattr(type(get_notifier("default")), "notify", fail)

    add.enqueue(1)

    assert "no work" in caplog.text


def test_a_commit_by_hand_sends_no_hint(sent):
    transaction.set_autocommit(False)
    try:
        publish_after_commit("default", Hint.WORK)
        connection.commit()
    finally:
        transaction.set_autocommit(True)

    assert sent == []


@pytest.mark.django_db(transaction=False)
def test_a_test_that_captures_callbacks_gets_one_for_all_jobs_of_its_transaction(
    django_capture_on_commit_callbacks, sent
):
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        add.enqueue(1)
        add.enqueue_many([((n,), {}) for n in range(3)])

    assert (len(callbacks), sent) == (1, [Hint.WORK])
