"""The rows of limits' keys: made, opened, widened and pruned, so that no job waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from offload.lifecycle import released, snoozed, succeeded
from offload.models import Job, Limit, LimitKey, LimitNotice
from offload.store import get_store
from offload.store.base import Store
from offload.store.limit_records import Definition
from offload.task_limits import LOADED_AT
from tests import limited_tasks as tasks
from tests.jobs import register_worker
from tests.store.limit_claims import by_key, claim

pytestmark = pytest.mark.django_db


def make_due() -> None:
    Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))


def forget_keys() -> None:
    """Delete the rows of keys, as pruning does."""
    LimitKey.objects.all().delete()


# --- rows that are missing --------------------------------------------------------------------


def test_a_scheduled_job_starts_when_it_is_due(store: Store, worker: str) -> None:
    tasks.single.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    assert claim(store, worker) == []

    make_due()
    store.promote()

    assert len(claim(store, worker)) == 1


def test_a_job_scheduled_for_long_starts_although_its_key_was_pruned(
    store: Store, worker: str
) -> None:
    tasks.single.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    claim(store, worker)
    forget_keys()

    make_due()
    store.promote()

    assert len(claim(store, worker)) == 1


def test_a_snoozed_job_starts_again_although_its_key_was_pruned(store: Store, worker: str) -> None:
    tasks.single.enqueue()
    (job,) = claim(store, worker)
    claim(store, worker, finished=((job, snoozed(3600)),))
    forget_keys()

    make_due()
    store.promote()

    assert len(claim(store, worker)) == 1


def test_a_retried_job_starts_although_its_key_was_pruned(store: Store, worker: str) -> None:
    result = tasks.single.enqueue()
    result.cancel()
    claim(store, worker)
    forget_keys()

    result.retry()

    assert len(claim(store, worker)) == 1


def test_a_key_pruned_between_its_notice_and_its_opening_is_made_again(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.rated.enqueue()
    assert len(claim(store, worker)) == 1
    tasks.rated.enqueue()
    make_keys = store.make_keys

    def make_and_forget() -> Any:
        news = make_keys()
        forget_keys()
        return news

    monkeypatch.setattr(store, "make_keys", make_and_forget)
    assert claim(store, worker) == []
    monkeypatch.undo()

    assert len(claim(store, worker)) == 1


def test_jobs_of_a_limit_that_was_deleted_start(store: Store, worker: str) -> None:
    tasks.single.enqueue_many([((), {})] * 3)
    claim(store, worker, slots=(1, 0))

    Limit.objects.all().delete()
    (job,) = store.claimed_by(worker)

    assert len(claim(store, worker, finished=((job, succeeded("null")),))) == 2


# --- what the row says about its jobs ---------------------------------------------------------


@pytest.mark.parametrize("looks_between", [False, True], ids=["at once", "one after the other"])
def test_jobs_of_one_key_start_in_each_of_their_queues(
    store: Store, worker: str, looks_between: bool
) -> None:
    tasks.shared_mail.enqueue("a")
    if looks_between:
        claim(store, worker, "default")
    tasks.shared_slow.enqueue("a")

    (mail,) = claim(store, worker, "mail", slots=(10, 0))
    (slow,) = claim(store, worker, "slow", slots=(0, 10), finished=((mail, succeeded("null")),))

    assert [mail.queue_name, slow.queue_name] == ["mail", "slow"]


def test_a_retry_in_between_hides_nothing_of_a_key(store: Store, worker: str) -> None:
    tasks.shared_mail.enqueue("a").cancel()
    tasks.shared_slow.enqueue("a")
    result = tasks.shared_mail.enqueue("a")
    result.cancel()
    result.retry()

    assert len(claim(store, worker, "slow")) == 1


def test_a_key_joins_the_rows_above_it_when_its_limit_gets_a_total(
    store: Store, worker: str
) -> None:
    tasks.call_api.enqueue_many([((customer,), {}) for customer in "aabb"])
    claim(store, worker, "none")  # no queue of the jobs: makes the rows

    set_definition('{"max_running": 2, "total": 1}')
    assert len(claim(store, worker)) == 1

    set_definition('{"max_running": 2}')
    assert len(claim(store, worker)) == 3


def set_definition(text: str) -> None:
    """Replace the numbers of the only limit in use, and tell workers of all its keys."""
    limit = Limit.objects.get()
    get_store("default").keep_limits({limit.name: Definition(text, LOADED_AT)})


# --- locked rows ------------------------------------------------------------------------------


@contextmanager
def locked_elsewhere(*keys: str) -> Iterator[None]:
    """Hold the rows of keys, as a frozen worker does."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    with ThreadPoolExecutor(1) as thread:
        transaction_of_another = transaction.atomic()

        def lock() -> None:
            transaction_of_another.__enter__()
            rows = LimitKey.objects.select_for_update().filter(pk__in=keys)
            assert len(rows) == len(keys)

        def release() -> None:
            transaction_of_another.__exit__(None, None, None)
            connection.close()

        try:
            thread.submit(lock).result()
            yield
        finally:
            thread.submit(release).result()


@pytest.mark.django_db(transaction=True)
def test_a_notice_of_a_locked_key_is_kept_as_it_is(store: Store, worker: str) -> None:
    tasks.shared_mail.enqueue("a")
    claim(store, worker, "none")
    with locked_elsewhere("shared:a"):
        tasks.shared_slow.enqueue("a")
        assert claim(store, worker) == []

    assert len(claim(store, worker, "slow")) == 1


@pytest.mark.django_db(transaction=True)
def test_a_locked_key_gets_a_notice_when_its_job_finishes(store: Store, worker: str) -> None:
    tasks.single.enqueue_many([((), {})] * 2)
    (first,) = claim(store, worker)
    with locked_elsewhere(LimitKey.objects.get().pk):
        assert claim(store, worker, finished=((first, succeeded("null")),)) == []

    assert len(claim(store, worker)) == 1
    assert not LimitNotice.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_locked_total_gets_a_notice_when_a_key_opens(store: Store, worker: str) -> None:
    tasks.with_total.enqueue("a").cancel()
    claim(store, worker)
    name = LimitKey.objects.get(parent="").pk
    with locked_elsewhere(name):
        tasks.with_total.enqueue("a")
        assert claim(store, worker) == []

    assert len(claim(store, worker)) == 1
    assert not LimitNotice.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_other_keys_go_on_while_one_is_locked(store: Store, worker: str) -> None:
    tasks.call_api.enqueue_many([(("a",), {}), (("b",), {})])
    claim(store, worker, "none")
    locked = LimitKey.objects.get(pk__endswith=":a").pk
    with locked_elsewhere(locked):
        tasks.call_api.enqueue_many([(("a",), {}), (("b",), {})])
        assert len(claim(store, worker)) == 2

    assert len(claim(store, worker)) == 2


@pytest.mark.django_db(transaction=True)
def test_a_job_before_the_place_of_a_locked_key_gets_a_notice_when_another_one_finishes(
    store: Store, worker: str
) -> None:
    """The worker that holds the lock has taken the job's notice, and moves the place back."""
    tasks.by_tariff.enqueue_many([((1,), {})] * 2)
    (first,) = claim(store, worker)
    (second,) = claim(store, worker, finished=((first, succeeded("null")),))
    early = tasks.by_tariff.enqueue(1)
    Job.objects.filter(pk=early.id).update(run_after=timezone.now() - timedelta(hours=1))
    LimitNotice.objects.all().delete()
    with locked_elsewhere(LimitKey.objects.get().pk):
        assert claim(store, worker, finished=((second, succeeded("null")),)) == []

    assert [job.id for job in claim(store, worker)] == [store.key(UUID(early.id))]


@pytest.mark.parametrize("customer", ["a", "b"], ids=["key", "total"])
def test_a_key_is_opened_that_was_closed_between_its_making_and_the_end_of_a_job(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch, customer: str
) -> None:
    tasks.one_of_all.enqueue("a")
    (first,) = claim(store, worker)
    forget_keys()
    tasks.one_of_all.enqueue(customer)
    make_keys = store.make_keys

    def make_and_let_another_worker_look() -> Any:
        news = make_keys()
        monkeypatch.undo()
        assert claim(store, register_worker()) == []
        return news

    monkeypatch.setattr(store, "make_keys", make_and_let_another_worker_look)

    assert len(claim(store, worker, finished=((first, succeeded("null")),))) == 1


@pytest.mark.django_db(transaction=True)
def test_a_job_that_comes_while_another_one_finishes_gets_a_notice(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker counts the other one as running, which has finished in an open transaction."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    tasks.one_of_all.enqueue("a")
    tasks.single.enqueue()
    jobs = claim(store, worker)
    assert len(jobs) == 2
    other = register_worker()

    def enqueue_and_look() -> int:
        tasks.single.enqueue()
        try:
            return len(claim(store, other))
        finally:
            connection.close()

    def look_in_between() -> None:
        monkeypatch.undo()
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(enqueue_and_look).result() == 0

    monkeypatch.setattr(store, "seconds_to_limited", look_in_between)
    claim(store, worker, finished=tuple((job, succeeded("null")) for job in jobs))

    assert len(claim(store, other)) == 1


def test_an_exchange_that_fails_keeps_its_notices(
    store: Store, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.single.enqueue()

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError

    monkeypatch.setattr(store, "claim_of_keys", fail)
    with pytest.raises(OSError):  # noqa: PT011
        claim(store, worker)
    monkeypatch.undo()

    assert LimitNotice.objects.count() == 1
    assert len(claim(store, worker)) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["promote", "run_now", "retry"])
def test_a_job_does_not_wait_without_its_notice(
    store: Store, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    result = tasks.single.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
    if change == "retry":
        result.cancel()
    make_due()
    before = Job.objects.get()

    def fail(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(store, "_insert_notice_rows", fail)
    with pytest.raises(OSError):  # noqa: PT011
        getattr(store, change)(*([] if change == "promote" else [before.pk]))

    after = Job.objects.get()
    assert (after.state, after.limit_slot) == (before.state, None)


# --- rows that say nothing more ---------------------------------------------------------------


def test_the_row_of_a_key_whose_line_is_empty_is_deleted(store: Store, worker: str) -> None:
    tasks.call_api.enqueue_many([((str(number),), {}) for number in range(50)])
    claimed = claim(store, worker)
    assert len(claimed) == 50
    assert not LimitKey.objects.exists()

    tasks.call_api.enqueue_many([(("1",), {})] * 2)

    assert len(claim(store, worker)) == 1  # the other one still runs


def test_the_row_of_an_empty_line_is_deleted_although_jobs_of_other_keys_wait(
    store: Store, worker: str
) -> None:
    for customer in "abc":
        tasks.call_api.enqueue(customer)

    assert len(claim(store, worker, slots=2)) == 2

    (waiting,) = Job.objects.filter(limit_slot__startswith="w:")
    assert LimitKey.objects.get().limit_key == waiting.limit_key


def test_a_row_that_keeps_a_rate_a_number_or_a_weight_is_not_deleted(
    store: Store, worker: str
) -> None:
    tasks.rated.enqueue()
    tasks.by_tariff.enqueue(3)
    tasks.weighted.enqueue("a")

    assert len(claim(store, worker)) == 3

    assert LimitKey.objects.count() == 3


def test_a_job_that_runs_again_starts_although_the_row_of_its_key_was_deleted(
    store: Store, worker: str
) -> None:
    tasks.call_api.enqueue_many([((customer,), {}) for customer in "ab"])
    first, second = claim(store, worker)

    again = claim(store, worker, finished=((first, released()), (second, released())))
    again += claim(store, worker)

    assert {job.id for job in again} == {first.id, second.id}
    assert not LimitNotice.objects.exists()


def test_jobs_that_finish_leave_no_notice_of_keys_without_waiting_jobs(
    store: Store, worker: str
) -> None:
    tasks.call_api.enqueue_many([((customer,), {}) for customer in "abc"])
    first, *others = claim(store, worker)

    claim(store, worker, finished=((first, succeeded("null")),))
    claim(store, worker, finished=tuple((job, succeeded("null")) for job in others))

    assert not LimitNotice.objects.exists()
    assert not LimitKey.objects.exists()


# --- starvation -------------------------------------------------------------------------------


def test_keys_whose_jobs_were_cancelled_do_not_hide_others(store: Store, worker: str) -> None:
    tasks.fair.enqueue_many([((str(number),), {}) for number in range(400)])
    claim(store, worker, "none")
    Job.objects.update(state=5, limit_slot=None, finished_at=timezone.now())
    tasks.fair.enqueue("last")

    assert len(claim(store, worker)) == 1


def test_both_rates_hold_at_the_time_that_is_written_as_the_start(
    store: Store, worker: str
) -> None:
    tasks.with_total.enqueue_many([((customer,), {}) for customer in "ab"])
    claimed = claim(store, worker)

    assert len({job.last_attempted_at for job in claimed}) == 1


# --- pruning ----------------------------------------------------------------------------------


def test_only_keys_that_are_not_in_use_are_pruned(store: Store, worker: str) -> None:
    tasks.everything.enqueue_many([((key,), {}) for key in ("long ago", "runs", "waits")])
    tasks.by_tariff.enqueue(3).cancel()
    tasks.weighted.enqueue("heavy").cancel()
    tasks.rated.enqueue()
    claimed = claim(store, worker)
    ended = tuple(
        (job, succeeded("null")) for job in claimed if str(job.limit_key).endswith((":", "ago"))
    )
    claim(store, worker, finished=ended)
    Job.objects.filter(limit_key__endswith=":waits").update(state=-1, limit_slot="w:x")
    waiting = Job.objects.get(limit_slot="w:x")
    Job.objects.update_or_create(pk=waiting.pk, defaults={"limit_slot": f"w:{waiting.limit_key}"})
    LimitKey.objects.update(open_at=None)
    LimitKey.objects.filter(name__endswith="everything").update(free_at=1)

    assert store.prune_keys() == (2, "")  # with the row above it

    left = {key.partition(":")[2] for key in LimitKey.objects.values_list("pk", flat=True)}
    assert left == {"runs", "waits", "3", "heavy", ""}


def test_pruning_finds_keys_that_are_closed_although_their_jobs_may_start(
    store: Store, worker: str
) -> None:
    tasks.call_api.enqueue_many([((customer,), {}) for customer in "aabbbccdd"])
    claim(store, worker, "none")
    LimitKey.objects.exclude(pk__endswith=":b").update(open_at=None)
    assert len(claim(store, worker)) == 2  # of b; the third job waits for their end
    closed = LimitKey.objects.filter(open_at=None)
    names = sorted(key[-1] for key in closed.values_list("pk", flat=True))
    assert names == ["a", "b", "c", "d"]
    store.add_notices({key.pk: None for key in closed if key.pk.endswith(":d")})

    store.prune_keys()

    noticed = LimitNotice.objects.values_list("limit_key", flat=True)
    assert sorted(key[-1] for key in noticed) == ["a", "c", "d"]
    assert by_key(claim(store, worker)) == {"a": 2, "c": 2, "d": 2}
    assert not LimitNotice.objects.exists()
