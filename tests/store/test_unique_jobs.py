"""Unique jobs: which calls make a job, and when a key is free again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from offload import AlreadyEnqueued, InvalidJobState
from offload.lifecycle import JobState, expired, failed, released, retried, snoozed, succeeded
from offload.models import Job, LimitNotice, Worker
from offload.reserved_ids import reserve_id, take_reserved_id
from offload.store import get_store
from offload.store.base import Store
from offload.store.records import ClaimedJob
from offload.uuid7 import new_id
from tests import unique_tasks as tasks
from tests.jobs import FAILURE, NO_CLAIM, claim, claim_limited, register_worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def store() -> Store:
    return get_store("default")


@pytest.fixture
def worker() -> str:
    return register_worker()


def row(result: Any) -> Any:
    return Job.objects.get(pk=result.id)


def seconds_until(moment: Any) -> float:
    return (moment - timezone.now()).total_seconds()


def finish(store: Store, worker: str, job: ClaimedJob, outcome: Any) -> None:
    assert not store.exchange(worker, [(job, outcome)], NO_CLAIM).refused


# --- until, and how a job ends ------------------------------------------------------------


def test_a_call_whose_key_a_job_holds_makes_none() -> None:
    first = tasks.import_shop.enqueue("a", path="1.csv")
    second = tasks.import_shop.enqueue("a", path="2.csv")

    assert first.is_new
    assert (second.id, second.is_new, second.kwargs) == (first.id, False, {"path": "1.csv"})
    assert tasks.import_shop.enqueue("b").is_new
    assert Job.objects.count() == 2


def test_a_key_is_held_while_the_job_runs_waits_again_and_is_released(
    store: Store, worker: str
) -> None:
    result = tasks.import_shop.enqueue("a")
    for outcome in (retried(FAILURE, 0), snoozed(0), released(), retried(FAILURE, 60)):
        (job,) = claim(worker)
        assert not tasks.import_shop.enqueue("a").is_new
        finish(store, worker, job, outcome)
        assert not tasks.import_shop.enqueue("a").is_new
    assert row(result).state == JobState.SCHEDULED


def cancel_waiting(store: Store, _worker: str, result: Any) -> None:
    assert store.cancel(UUID(result.id)) == JobState.CANCELLED


def cancel_running(store: Store, worker: str, result: Any) -> None:
    (job,) = claim(worker)
    store.cancel(UUID(result.id))
    finish(store, worker, job, retried(FAILURE, 0))


def lose(store: Store, worker: str, _result: Any) -> None:
    claim(worker)
    Job.objects.update(max_worker_losses=0)
    Worker.objects.all().delete()
    assert store.rescue()


def finish_in_transaction(store: Store, worker: str, _result: Any) -> None:
    (job,) = claim(worker)
    with transaction.atomic():
        store.finish([(job, succeeded("1"))])


def end_with(outcome: Any) -> Callable[[Store, str, Any], None]:
    def end(store: Store, worker: str, _result: Any) -> None:
        (job,) = claim(worker)
        finish(store, worker, job, outcome)

    return end


def delete(_store: Store, _worker: str, result: Any) -> None:
    row(result).delete()


def prune(store: Store, worker: str, result: Any) -> None:
    end_with(succeeded("1"))(store, worker, result)
    jobs = store.finished_before(
        "default", JobState.SUCCESSFUL, before=timezone.now() + timedelta(days=1)
    )
    assert sum(store.prune(jobs)) == 1


ENDS = {
    "success": end_with(succeeded("1")),
    "failure": end_with(failed(FAILURE)),
    "expiry": end_with(expired(FAILURE)),
    "cancelled while it waits": cancel_waiting,
    "cancelled while it runs": cancel_running,
    "loss": lose,
    "success in a transaction of the task": finish_in_transaction,
    "deletion": delete,
    "prune": prune,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_job_that_ends_in_any_way_gives_its_key_back(
    store: Store, worker: str, end: Callable[[Store, str, Any], None]
) -> None:
    result = tasks.import_shop.enqueue("a")

    end(store, worker, result)

    again = tasks.import_shop.enqueue("a")
    assert again.is_new
    assert again.id != result.id


def test_a_lost_job_that_runs_again_keeps_its_key(store: Store, worker: str) -> None:
    tasks.import_shop.enqueue("a")
    claim(worker)
    Worker.objects.all().delete()
    assert store.rescue()

    assert not tasks.import_shop.enqueue("a").is_new


def test_a_key_until_started_is_free_when_the_job_is_claimed(store: Store, worker: str) -> None:
    first = tasks.until_started.enqueue("a")
    assert not tasks.until_started.enqueue("a").is_new
    (job,) = claim(worker)

    second = tasks.until_started.enqueue("a")

    assert second.is_new
    finish(store, worker, job, retried(FAILURE, 0))  # waits again, without a key
    assert tasks.until_started.enqueue("a").id == second.id
    assert row(first).unique_key is None
    assert {job.id for job in claim(worker)} == {store.key(UUID(r.id)) for r in (first, second)}


def test_a_claim_of_a_limited_job_frees_its_key(worker: str) -> None:
    first = tasks.limited_until_started.enqueue("a")
    assert [job.limit_key for job in claim_limited(worker)] == [row(first).limit_key]

    assert row(first).unique_key is None
    assert tasks.limited_until_started.enqueue("a").is_new


def test_a_promoted_job_keeps_its_key(store: Store) -> None:
    result = tasks.import_shop.using(run_after=timedelta(hours=1)).enqueue("a")
    store.run_now(UUID(result.id))

    assert row(result).state == JobState.READY
    assert not tasks.import_shop.enqueue("a").is_new


# --- within and Throttle ------------------------------------------------------------------


def test_a_key_within_a_time_is_held_beyond_the_end_and_then_free(
    store: Store, worker: str
) -> None:
    first = tasks.within_an_hour.enqueue("a")
    end_with(succeeded("1"))(store, worker, first)

    assert tasks.within_an_hour.enqueue("a").id == first.id
    Job.objects.update(unique_within=timezone.now())
    assert tasks.within_an_hour.enqueue("a").is_new
    assert row(first).unique_key is None


def test_a_key_within_a_time_is_held_by_a_job_that_takes_longer(worker: str) -> None:
    first = tasks.within_an_hour.enqueue("a")
    Job.objects.update(unique_within=timezone.now())
    assert tasks.within_an_hour.enqueue("a").id == first.id
    claim(worker)

    assert tasks.within_an_hour.enqueue("a").id == first.id


def test_a_cancelled_job_keeps_its_key_for_the_time(store: Store) -> None:
    first = tasks.within_an_hour.enqueue("a")
    store.cancel(UUID(first.id))

    assert tasks.within_an_hour.enqueue("a").id == first.id


def test_a_throttle_lets_the_first_call_of_each_period_make_a_job(
    store: Store, worker: str
) -> None:
    first = tasks.throttled.enqueue(1)
    end_with(succeeded("1"))(store, worker, first)
    assert not tasks.throttled.enqueue(1).is_new
    assert tasks.throttled.enqueue(2).is_new
    Job.objects.update(unique_within=timezone.now())

    second = tasks.throttled.enqueue(1)

    assert second.is_new
    assert not tasks.throttled.enqueue(1).is_new


def test_a_running_job_does_not_hold_up_the_next_period(worker: str) -> None:
    tasks.throttled.enqueue(1)
    claim(worker)
    Job.objects.update(unique_within=timezone.now())

    assert tasks.throttled.enqueue(1).is_new


def test_a_job_is_not_pruned_while_it_holds_its_key(store: Store, worker: str) -> None:
    first = tasks.within_an_hour.enqueue("a")
    end_with(succeeded("1"))(store, worker, first)
    later = timezone.now() + timedelta(days=1)
    old = store.finished_before("default", JobState.SUCCESSFUL, before=later)

    assert sum(store.prune(old)) == 0
    Job.objects.update(unique_within=timezone.now())
    old = store.finished_before("default", JobState.SUCCESSFUL, before=later)
    assert sum(store.prune(old)) == 1


def test_a_task_that_no_longer_has_a_time_ends_the_time_of_its_earlier_jobs(
    store: Store, worker: str
) -> None:
    first = tasks.within_an_hour.enqueue("a")
    end_with(succeeded("1"))(store, worker, first)
    Job.objects.update(unique_key="tests.unique_tasks.import_shop:a", unique_within=timezone.now())

    assert tasks.import_shop.enqueue("a").is_new


# --- on_conflict --------------------------------------------------------------------------


def test_replace_changes_arguments_priority_and_time_of_a_waiting_job() -> None:
    later = tasks.replaced.using(run_after=timedelta(hours=1))
    first = later.enqueue("a", path="1.csv")
    version = row(first).version

    second = tasks.replaced.using(priority=7).enqueue("a", path="2.csv")

    assert (second.id, second.is_new) == (first.id, False)
    assert (second.kwargs, second.state) == ({"path": "2.csv"}, JobState.READY)
    job = row(first)
    assert (job.arguments, job.priority, job.state) == ('[["a"],{"path":"2.csv"}]', 7, 2)
    assert (job.version, seconds_until(job.run_after) <= 0) == (version + 1, True)
    first.refresh()
    assert first.kwargs == {"path": "2.csv"}
    assert first.is_new  # this call has made it
    later.enqueue("a", path="3.csv")
    assert row(first).state == JobState.SCHEDULED


def test_replace_leaves_a_running_job_alone(worker: str) -> None:
    first = tasks.replaced.enqueue("a", path="1.csv")
    claim(worker)

    second = tasks.replaced.enqueue("a", path="2.csv")

    assert (second.id, second.state, second.kwargs) == (
        first.id,
        JobState.RUNNING,
        {"path": "1.csv"},
    )


def test_replace_does_not_shorten_the_backoff_of_a_retry(store: Store, worker: str) -> None:
    first = tasks.replaced.enqueue("a", path="1.csv")
    (job,) = claim(worker)
    finish(store, worker, job, retried(FAILURE, 100))

    second = tasks.replaced.enqueue("a", path="2.csv")

    assert (second.state, second.kwargs) == (JobState.SCHEDULED, {"path": "2.csv"})
    assert len(second.errors) == 1
    assert seconds_until(row(first).run_after) > 90


def test_replace_moves_a_limited_job_to_the_line_of_its_new_key(worker: str) -> None:
    first = tasks.limited.enqueue("a", "x")
    claim_limited(worker, slots=0)
    before = row(first)

    tasks.limited.enqueue("a", "y")

    job = row(first)
    assert job.limit_key == "tests.unique_tasks.limited:y"
    assert job.limit_slot == "w:tests.unique_tasks.limited:y"
    assert job.expires_at > before.expires_at
    assert LimitNotice.objects.filter(limit_key=job.limit_key).exists()
    tasks.limited.using(run_after=timedelta(hours=1)).enqueue("a", "y")
    assert (row(first).state, row(first).limit_slot) == (JobState.SCHEDULED, None)
    tasks.limited.enqueue("a", "z")
    (claimed,) = claim_limited(worker)
    assert claimed.arguments == '[["a","z"],{}]'


def test_raise_names_the_job_that_holds_the_key() -> None:
    first = tasks.refused.enqueue("a")

    with pytest.raises(AlreadyEnqueued) as caught:
        tasks.refused.enqueue("a")

    assert caught.value.result.id == first.id
    assert str(caught.value) == (
        f"The job {first.id} of 'tests.unique_tasks.refused', which is ready, holds the key "
        "'tests.unique_tasks.refused:a' of this call."
    )
    Job.objects.count()  # the transaction goes on


def test_raise_makes_none_of_several_jobs() -> None:
    tasks.refused.enqueue("b")

    with pytest.raises(AlreadyEnqueued):
        tasks.refused.enqueue_many([(("a",), {}), (("b",), {}), (("c",), {})])

    assert Job.objects.count() == 1


# --- Debounce -----------------------------------------------------------------------------


def test_a_debounce_starts_after_the_last_call_with_its_arguments(
    store: Store, worker: str
) -> None:
    first = tasks.debounced.enqueue(1, "a")
    assert (first.state, row(first).state) == (JobState.SCHEDULED, JobState.SCHEDULED)
    Job.objects.update(run_after=timezone.now(), enqueued_at=timezone.now() - timedelta(seconds=5))
    store.promote()
    assert row(first).state == JobState.READY

    last = tasks.debounced.enqueue(1, "b")

    assert last.id == first.id
    assert row(first).state == JobState.SCHEDULED
    assert 4 < seconds_until(row(first).run_after) <= 5
    assert claim(worker) == []
    store.run_now(UUID(first.id))
    assert [job.arguments for job in claim(worker)] == ['[[1,"b"],{}]']


def test_a_debounce_waits_no_longer_than_its_maximum_from_the_first_call() -> None:
    first = tasks.debounced.enqueue(1, "a")
    Job.objects.update(enqueued_at=timezone.now() - timedelta(seconds=57))
    tasks.debounced.enqueue(1, "b")
    assert 2 < seconds_until(row(first).run_after) <= 3
    Job.objects.update(enqueued_at=timezone.now() - timedelta(seconds=61))

    tasks.debounced.enqueue(1, "c")

    assert row(first).state == JobState.READY
    assert row(first).arguments == '[[1,"c"],{}]'


def test_a_call_while_a_debounced_job_runs_makes_the_next_one(store: Store, worker: str) -> None:
    first = tasks.debounced.enqueue(1, "a")
    store.run_now(UUID(first.id))
    claim(worker)

    second = tasks.debounced.enqueue(1, "b")

    assert second.is_new
    assert row(second).arguments == '[[1,"b"],{}]'


# --- enqueue_many -------------------------------------------------------------------------


def test_calls_of_one_key_share_a_job_and_the_results_are_in_order() -> None:
    held = tasks.import_shop.enqueue("b", path="0")

    results = tasks.import_shop.enqueue_many(
        [((shop,), {"path": str(number)}) for number, shop in enumerate("abac")]
    )

    assert [result.is_new for result in results] == [True, False, False, True]
    assert results[1].id == held.id
    assert results[0].id == results[2].id
    assert [result.kwargs["path"] for result in results] == ["0", "0", "0", "3"]
    assert Job.objects.count() == 3


def test_the_last_of_several_calls_that_replace_counts() -> None:
    held = tasks.replaced.enqueue("b")
    results = tasks.replaced.enqueue_many(
        [((shop,), {"path": str(number)}) for number, shop in enumerate("abab")]
    )

    assert [result.kwargs["path"] for result in results] == ["2", "3", "2", "3"]
    assert row(held).arguments == '[["b"],{"path":"3"}]'


def test_thousands_of_calls_are_made_at_once() -> None:
    tasks.of_arguments.enqueue(5)

    results = tasks.of_arguments.enqueue_many([((number,), {}) for number in range(2_500)])

    assert sum(result.is_new for result in results) == 2_499
    assert [result.args[0] for result in results] == [*range(2_500)]
    assert tasks.of_arguments.enqueue_many([]) == []


def test_tasks_that_share_a_name_share_their_keys() -> None:
    first = tasks.nightly_export.enqueue("a")
    second = tasks.nightly_import.enqueue("a")

    assert (second.id, second.is_new) == (first.id, False)
    assert second.task == tasks.nightly_export


# --- retry --------------------------------------------------------------------------------


def test_a_retried_job_holds_its_key_again(store: Store, worker: str) -> None:
    first = tasks.import_shop.enqueue("a")
    end_with(failed(FAILURE))(store, worker, first)

    first.retry()

    assert tasks.import_shop.enqueue("a").id == first.id


def test_a_job_whose_key_another_one_holds_is_not_retried(store: Store, worker: str) -> None:
    first = tasks.import_shop.enqueue("a")
    end_with(failed(FAILURE))(store, worker, first)
    second = tasks.import_shop.enqueue("a")

    with pytest.raises(InvalidJobState) as caught:
        first.retry()

    assert str(caught.value) == (
        f"The job {first.id} cannot be retried: the job {second.id}, which is ready, holds its key "
        "'tests.unique_tasks.import_shop:a'."
    )
    assert row(first).state == JobState.FAILED  # and the transaction goes on


def test_a_retry_takes_a_key_whose_time_is_over(store: Store, worker: str) -> None:
    first = tasks.within_an_hour.enqueue("a")
    end_with(failed(FAILURE))(store, worker, first)
    Job.objects.update(unique_within=timezone.now())
    second = tasks.within_an_hour.enqueue("a")
    end_with(succeeded("1"))(store, worker, second)
    with pytest.raises(InvalidJobState, match=second.id):
        first.retry()
    Job.objects.update(unique_within=timezone.now())

    first.retry()

    assert row(first).unique_key == "tests.unique_tasks.within_an_hour:a"
    assert row(second).unique_key is None


def test_a_retried_job_of_a_task_that_is_gone_or_no_longer_unique_has_no_key(
    store: Store, worker: str
) -> None:
    for path in ("tests.unique_tasks.gone", "tests.tasks.add"):
        result = tasks.import_shop.enqueue("a")
        end_with(failed(FAILURE))(store, worker, result)
        Job.objects.filter(pk=result.id).update(task_path=path)
        result.retry()
        assert row(result).unique_key is None
        Job.objects.all().delete()


# --- the database -------------------------------------------------------------------------


def test_the_database_refuses_a_second_holder() -> None:
    if connection.vendor == "mysql":
        pytest.skip("its index is not unique: see UniqueLock")
    first = tasks.import_shop.enqueue("a")
    second = tasks.import_shop.enqueue("b")
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=second.id).update(unique_key=row(first).unique_key)


def test_the_database_refuses_a_holder_that_has_finished() -> None:
    first = tasks.import_shop.enqueue("a")
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=first.id).update(state=JobState.FAILED, finished_at=timezone.now())


def test_an_id_that_exists_is_an_error_and_not_a_conflict_of_keys() -> None:
    pk = new_id()
    with reserve_id(pk):
        tasks.import_shop.enqueue("a")
    with pytest.raises(IntegrityError), transaction.atomic(), reserve_id(pk):
        tasks.import_shop.enqueue("b")


def test_a_call_that_makes_no_job_leaves_the_reserved_id_to_the_next() -> None:
    tasks.import_shop.enqueue("a")
    pk = new_id()
    with reserve_id(pk):
        tasks.import_shop.enqueue("a")
        assert tasks.import_shop.enqueue("b").id == str(pk)
        assert take_reserved_id() is None


def test_a_holder_that_changes_without_end_is_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "mysql":
        pytest.skip("it looks before it inserts")
    tasks.import_shop.enqueue("a")
    monkeypatch.setattr(type(store), "holders", lambda *_: {})

    with pytest.raises(Exception, match=r"change too fast.+Try the transaction again"):
        tasks.import_shop.enqueue("a")
