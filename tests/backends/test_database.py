"""DatabaseBackend: enqueueing, results, cancelling, retrying and waiting."""

import copy
import pickle
from datetime import UTC, datetime, timedelta
from threading import Thread
from uuid import UUID, uuid4

import django
import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connection, connections, transaction
from django.tasks import TaskResult, TaskResultStatus, default_task_backend
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist, TaskResultMismatch
from django.tasks.signals import task_enqueued
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from offload import InvalidJobState, JobState, OffloadError, TaskResultExpired, task
from offload.backends.database import DatabaseBackend
from offload.backends.rows import JobBatch
from offload.conf import BackendOptions
from offload.exceptions import InvalidArguments
from offload.lifecycle import failed, succeeded
from offload.models import Job
from offload.store import get_store
from offload.uuid7 import new_id
from tests.jobs import FAILURE, claim, finish, move_to_state, register_worker
from tests.tasks import aadd, add, anything, plain

pytestmark = pytest.mark.django_db
in_autocommit = pytest.mark.django_db(transaction=True)

BACKEND = "offload.backends.database.DatabaseBackend"
WAITING = [JobState.LIMITED, JobState.SCHEDULED, JobState.READY]
FINISHED = [JobState.SUCCESSFUL, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED]


def tasks_with(**options: object) -> override_settings:
    queues = ["default", "mail", "slow"]
    return override_settings(
        TASKS={"default": {"BACKEND": BACKEND, "QUEUES": queues, "OPTIONS": options}}
    )


def id_made(age: timedelta) -> str:
    """Return a UUIDv7 of the given age."""
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    return str(UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | 5))


def seen_by_others(result: TaskResult) -> bool:
    """Return whether another connection can see the job."""
    is_seen = []

    def query() -> None:
        is_seen.append(Job.objects.filter(pk=result.id).exists())
        connections.close_all()

    thread = Thread(target=query)
    thread.start()
    thread.join()
    return is_seen[0]


# --- enqueueing -----------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronously", [False, True])
def test_enqueueing_returns_what_get_result_will_return(asynchronously):
    enqueue = async_to_sync(add.aenqueue) if asynchronously else add.enqueue

    result = enqueue(1, b=(2, {3: b"4"}))

    assert (result.args, result.kwargs) == ([1], {"b": [2, {"3": "4"}]})
    assert (result.state, result.status) == (JobState.READY, TaskResultStatus.READY)
    assert (result.task, result.backend) == (add, "default")
    assert (result.errors, result.worker_ids, result.attempts) == ([], [], 0)
    assert (result.started_at, result.finished_at, result.last_attempted_at) == (None, None, None)
    assert timezone.now() - result.enqueued_at < timedelta(minutes=1)
    assert UUID(result.id).version == 7
    assert default_task_backend.get_result(result.id) == result


def test_enqueueing_is_one_statement(django_assert_num_queries):
    with django_assert_num_queries(1):
        add.enqueue(1)


def test_enqueueing_many_is_one_statement(django_assert_num_queries):
    with django_assert_num_queries(1):
        results = add.enqueue_many([((n,), {"b": 1}) for n in range(50)])

    assert [result.args for result in results] == [[n] for n in range(50)]
    assert [r.args for r in map(default_task_backend.get_result, [r.id for r in results])] == [
        [n] for n in range(50)
    ]
    assert sorted(result.id for result in results) == [result.id for result in results]


@pytest.mark.parametrize("calls", [[((1,), {})], [((n,), {}) for n in range(50)]], ids=[1, 50])
def test_at_most_one_hint_follows_the_commit(calls, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks:
        add.enqueue_many(calls)

    assert len(callbacks) == 1
    with CaptureQueriesContext(connection) as queries:
        callbacks[0]()
    assert len(queries) <= 1


PAIRS = [((1,), {}), ([2], {"b": 3})]


def test_many_are_enqueued_from_async_code():
    results = async_to_sync(aadd.aenqueue_many)(PAIRS)

    assert [(result.args, result.kwargs) for result in results] == [([1], {}), ([2], {"b": 3})]
    assert Job.objects.filter(is_async=True).count() == 2


@pytest.mark.parametrize("calls", [[], iter([])], ids=["list", "iterator"])
def test_enqueueing_no_jobs_runs_no_statement(calls, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert add.enqueue_many(calls) == []


@pytest.mark.parametrize(
    "call", [1, (1,), (1, 2), ((1,), None), ("ab", {}), ((1,), {}, {}), None], ids=repr
)
def test_a_call_that_is_not_a_pair_is_refused_with_an_example(call):
    with pytest.raises(TypeError) as caught:
        add.enqueue_many([((1,), {}), call])

    assert "((1,), {})" in str(caught.value)
    assert repr(call) in str(caught.value)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("argument", "error"), [(float("nan"), InvalidArguments), (object(), TypeError)]
)
def test_bad_arguments_are_refused_before_any_statement(argument, error, django_assert_num_queries):
    with django_assert_num_queries(0):
        with pytest.raises(error, match=r"args\[0\]"):
            add.enqueue(argument)
        with pytest.raises(error, match=r"args\[0\]"):
            add.enqueue_many([((1,), {}), ((argument,), {})])


def test_an_option_limits_the_size_of_the_arguments():
    with tasks_with(max_arguments_size=1024), pytest.raises(InvalidArguments, match="1,024"):
        add.enqueue("a" * 1024)


def test_a_task_may_have_arguments_named_like_options():
    names = {"task": 1, "args": 2, "kwargs": 3, "priority": 4, "context": 5}

    assert anything.enqueue(**names).kwargs == names


@in_autocommit
def test_a_job_is_part_of_the_transaction_it_is_enqueued_in():
    with transaction.atomic():
        result = add.enqueue(1)
        assert not seen_by_others(result)
        assert default_task_backend.get_result(result.id) == result
    assert seen_by_others(result)


@in_autocommit
@pytest.mark.parametrize("count", [1, 3])
def test_a_rollback_removes_the_job(count):
    with transaction.atomic():
        results = add.enqueue_many([((n,), {}) for n in range(count)])
        transaction.set_rollback(True)

    assert not Job.objects.exists()
    with pytest.raises(TaskResultDoesNotExist):
        default_task_backend.get_result(results[0].id)


@in_autocommit
def test_a_rollback_to_a_savepoint_removes_the_job():
    with transaction.atomic():
        kept = add.enqueue(1)
        with transaction.atomic():
            add.enqueue(2)
            transaction.set_rollback(True)
        kept_too = add.enqueue(3)

    assert {str(pk) for pk in Job.objects.values_list("pk", flat=True)} == {kept.id, kept_too.id}


@in_autocommit
def test_jobs_can_be_enqueued_with_autocommit_off():
    connection.set_autocommit(False)
    try:
        result = add.enqueue(1)
        connection.commit()
    finally:
        connection.set_autocommit(True)

    assert seen_by_others(result)


@in_autocommit
def test_a_bulk_that_fails_enqueues_nothing():
    def calls():
        yield (1,), {}
        yield (object(),), {}

    with pytest.raises(TypeError):
        add.enqueue_many(calls())
    assert not Job.objects.exists()


@in_autocommit
def test_a_bulk_that_the_database_refuses_enqueues_nothing():
    store = get_store("default")
    once, twice = [(store.key(new_id()), "[[],{}]") for _ in range(2)]
    job = JobBatch(add, "default", BackendOptions(), store.key).row(*once)

    with pytest.raises(IntegrityError):
        store.insert_many(job, [once, twice, twice])

    assert not Job.objects.exists()


def test_the_backend_supports_every_feature():
    backend = default_task_backend
    assert backend.supports_defer
    assert backend.supports_async_task
    assert backend.supports_get_result
    assert backend.supports_priority


# --- deferring ------------------------------------------------------------------------------


@pytest.mark.parametrize("relative", [False, True])
def test_a_deferred_job_is_scheduled(relative):
    delay = timedelta(hours=3)
    result = add.using(run_after=delay if relative else timezone.now() + delay).enqueue(1)

    assert (result.state, result.status) == (JobState.SCHEDULED, TaskResultStatus.READY)
    job = Job.objects.get(pk=result.id)
    assert abs(job.run_after - job.enqueued_at - delay) < timedelta(seconds=5)
    assert default_task_backend.get_result(result.id).task.run_after == job.run_after


def test_a_relative_time_counts_from_the_enqueueing_not_from_using():
    later = add.using(run_after=timedelta(hours=1))
    first, second = later.enqueue(1), later.enqueue(2)

    runs = dict(Job.objects.values_list("pk", "run_after"))
    assert runs[UUID(second.id)] > runs[UUID(first.id)]


def test_expiry_counts_from_run_after():
    result = add.using(run_after=timedelta(hours=1), expires=60).enqueue(1)

    job = Job.objects.get(pk=result.id)
    assert job.expires_at - job.enqueued_at == timedelta(hours=1, minutes=1)


def test_without_time_zones_times_are_naive_everywhere():
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        moment = datetime(2090, 7, 1, 12, 0, 0, 123456)  # noqa: DTZ001  # the case under test
        result = add.using(run_after=moment).enqueue(1)
        reloaded = default_task_backend.get_result(result.id)

    assert reloaded.enqueued_at == result.enqueued_at
    assert reloaded.enqueued_at.tzinfo is None
    assert reloaded.task.run_after == moment
    utc = datetime(2090, 7, 1, 3, 0, 0, 123456, UTC)
    assert Job.objects.get(pk=result.id).run_after == utc


# --- results ----------------------------------------------------------------------------------


def test_reading_a_job_without_failed_attempts_is_one_query(django_assert_num_queries):
    ready, running = add.enqueue(1), None
    with django_assert_num_queries(1):
        default_task_backend.get_result(ready.id)
    (running,) = claim(register_worker())
    with django_assert_num_queries(1):
        assert default_task_backend.get_result(running.id).state == JobState.RUNNING
    Job.objects.update(state=JobState.SUCCESSFUL, finished_at=timezone.now())
    with django_assert_num_queries(1):
        default_task_backend.get_result(ready.id)


def test_a_successful_job_has_its_return_value():
    result = add.enqueue(1)
    worker = finish(succeeded('{"sum": [1, 2.5, "é"]}'))

    result.refresh()

    assert (result.state, result.status) == (JobState.SUCCESSFUL, TaskResultStatus.SUCCESSFUL)
    assert result.return_value == {"sum": [1, 2.5, "é"]}
    assert (result.worker_ids, result.attempts, result.errors) == ([worker], 1, [])
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at


def test_a_failed_job_has_the_errors_of_its_attempts(django_assert_num_queries):
    result = add.enqueue(1)
    worker = finish(failed(FAILURE))

    with django_assert_num_queries(2):
        async_to_sync(result.arefresh)()

    assert (result.state, result.status) == (JobState.FAILED, TaskResultStatus.FAILED)
    (error,) = result.errors
    assert (error.exception_class, error.traceback) == (ValueError, FAILURE.traceback)
    assert (result.worker_ids, result.attempts) == ([worker], 1)
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


@pytest.mark.parametrize("state", list(JobState), ids=lambda state: state.label)
def test_every_state_has_a_status_of_django(state):
    result = add.enqueue(1)
    move_to_state(result, state)

    result.refresh()

    assert (result.state, result.status) == (state, state.status)
    assert result.is_finished == state.is_finished


@pytest.mark.parametrize(
    ("state", "path"),
    [
        (JobState.CANCELLED, "offload.exceptions.JobCancelled"),
        (JobState.EXPIRED, "offload.exceptions.JobExpired"),
    ],
)
def test_a_job_that_finished_without_an_attempt_has_an_error(state, path):
    result = add.enqueue(1)
    Job.objects.update(state=state, finished_at=timezone.now())

    result.refresh()

    assert [error.exception_class_path for error in result.errors] == [path]
    assert result.attempts == 0


def test_a_result_is_read_through_its_task_in_sync_and_async_code():
    result = add.enqueue(1)

    assert add.get_result(result.id) == result
    assert async_to_sync(add.aget_result)(result.id) == result
    assert async_to_sync(default_task_backend.aget_result)(result.id) == result


@pytest.mark.parametrize("write", [str.upper, UUID, lambda text: UUID(text).hex, "{{{}}}".format])
def test_an_id_is_accepted_in_every_notation(write):
    result = add.enqueue(1)

    assert default_task_backend.get_result(write(result.id)).id == result.id


def test_a_result_of_another_task_is_a_mismatch():
    result = add.enqueue(1)

    with pytest.raises(TaskResultMismatch, match=r"tests\.tasks\.add"):
        plain.get_result(result.id)


@pytest.mark.parametrize("unknown", ["", "nonsense", "1", "é", "\0", None, 5, b"x"])
def test_a_job_with_an_invalid_id_does_not_exist(unknown, django_assert_num_queries):
    with (
        django_assert_num_queries(0),
        pytest.raises(TaskResultDoesNotExist, match="is not the id of a job") as caught,
    ):
        default_task_backend.get_result(unknown)

    assert caught.type is TaskResultDoesNotExist


@pytest.mark.parametrize(
    "identifier",
    [
        str(new_id()),
        str(uuid4()),
        id_made(timedelta(days=6)),
        id_made(timedelta(days=-3)),
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "00000000-0000-0000-0000-000000000000",
    ],
    ids=["new", "version 4", "young", "from the future", "largest", "nil"],
)
def test_an_unknown_job_does_not_exist(identifier):
    with pytest.raises(TaskResultDoesNotExist) as caught:
        default_task_backend.get_result(identifier)

    assert caught.type is TaskResultDoesNotExist
    assert identifier in str(caught.value)


@pytest.mark.parametrize("days", [8, 400])
def test_a_job_so_old_that_it_was_pruned_has_expired(days):
    with pytest.raises(TaskResultExpired, match=f"{days} days old"):
        default_task_backend.get_result(id_made(timedelta(days=days)))


@pytest.mark.parametrize(
    ("options", "days", "expected"),
    [
        ({"keep_successful": None, "keep_failed": None}, 4000, TaskResultDoesNotExist),
        ({"keep_successful": None}, 29, TaskResultDoesNotExist),
        ({"keep_successful": None}, 31, TaskResultExpired),
        ({"keep_successful": timedelta(0)}, 0, TaskResultExpired),
        ({"keep_successful": timedelta(0)}, -0.001, TaskResultExpired),  # made in a large bulk
    ],
)
def test_expiry_of_results_follows_the_options(options, days, expected):
    with tasks_with(**options), pytest.raises(TaskResultDoesNotExist) as caught:
        default_task_backend.get_result(id_made(timedelta(days=days)))

    assert caught.type is expected


def test_results_are_equal_if_djangos_fields_are_equal():
    first, second = add.enqueue(1), add.enqueue(1)

    assert first == default_task_backend.get_result(first.id)
    assert first != second
    assert len({first, second, default_task_backend.get_result(first.id)}) == 2


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django pickles tasks since 6.1.")
def test_a_result_survives_pickling():
    result = add.enqueue(1)
    finish(failed(FAILURE))
    result.refresh()

    restored = pickle.loads(pickle.dumps(result))

    assert restored == result
    assert (type(restored), restored.state) == (type(result), JobState.FAILED)
    assert restored.errors == result.errors


@pytest.mark.parametrize("deep", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_result_is_refreshed_alone(deep):
    result = add.enqueue(1)
    copied = deep(result)
    finish(succeeded("1"))

    copied.refresh()

    assert (copied.state, result.state) == (JobState.SUCCESSFUL, JobState.READY)
    assert copied.task == result.task


# --- signals ----------------------------------------------------------------------------------


@pytest.fixture
def enqueued():
    """Sender and result of each `task_enqueued` signal."""
    received = []

    def receive(sender, task_result, **_):
        received.append((sender, task_result))

    task_enqueued.connect(receive)
    yield received
    task_enqueued.disconnect(receive)


def test_the_signal_comes_from_the_class_once_for_each_job(enqueued):
    one = add.enqueue(1)
    many = add.enqueue_many(PAIRS)

    assert enqueued == [(DatabaseBackend, result) for result in (one, *many)]


def test_an_exception_in_a_receiver_changes_nothing(caplog, enqueued):
    def receive(**_):
        raise ValueError("receiver is broken")

    task_enqueued.connect(receive)
    try:
        result = add.enqueue(1)
    finally:
        task_enqueued.disconnect(receive)

    assert Job.objects.filter(pk=result.id).exists()
    assert "receiver is broken" in caplog.text


# --- cancelling and retrying ------------------------------------------------------------------


@pytest.mark.parametrize("state", WAITING, ids=lambda state: state.label)
@pytest.mark.parametrize("asynchronously", [False, True])
def test_a_waiting_job_is_cancelled_at_once(state, asynchronously):
    result = add.enqueue(1)
    move_to_state(result, state)

    async_to_sync(result.acancel)() if asynchronously else result.cancel()

    assert (result.state, result.status) == (JobState.CANCELLED, TaskResultStatus.FAILED)
    assert result.finished_at is not None
    assert [error.exception_class.__name__ for error in result.errors] == ["JobCancelled"]


def test_cancelling_a_running_job_is_requested():
    result = add.enqueue(1)
    move_to_state(result, JobState.RUNNING)

    result.cancel()

    assert result.state == JobState.RUNNING
    assert Job.objects.get(pk=result.id).cancel_requested_at is not None


@pytest.mark.parametrize("state", FINISHED, ids=lambda state: state.label)
def test_a_finished_job_cannot_be_cancelled(state):
    result = add.enqueue(1)
    move_to_state(result, state)

    with pytest.raises(InvalidJobState) as caught:
        result.cancel()

    expected = f"The job {result.id} is {state.label}; it cannot be cancelled."
    if state == JobState.CANCELLED:
        expected = f"The job {result.id} has already been cancelled."
    assert str(caught.value) == expected


@pytest.mark.parametrize("state", FINISHED[1:], ids=lambda state: state.label)
@pytest.mark.parametrize("asynchronously", [False, True])
def test_an_unsuccessful_job_is_retried_from_the_start(state, asynchronously):
    result = add.enqueue(1)
    move_to_state(result, state)

    async_to_sync(result.aretry)() if asynchronously else result.retry()

    assert (result.state, result.finished_at) == (JobState.READY, None)
    job = Job.objects.get(pk=result.id)
    assert (job.attempt, job.worker_losses) == (0, 0)
    finish(succeeded("3"))
    result.refresh()
    assert result.return_value == 3
    assert len(result.errors) == 1


@pytest.mark.parametrize(
    "state", [*WAITING, JobState.RUNNING, JobState.SUCCESSFUL], ids=lambda state: state.label
)
def test_only_an_unsuccessful_job_can_be_retried(state):
    result = add.enqueue(1)
    move_to_state(result, state)

    with pytest.raises(InvalidJobState) as caught:
        result.retry()

    assert str(caught.value) == f"The job {result.id} is {state.label}; it cannot be retried."


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_deleted_job_can_be_neither_cancelled_nor_retried(verb):
    result = add.enqueue(1)
    Job.objects.all().delete()

    with pytest.raises(TaskResultDoesNotExist):
        getattr(result, verb)()


# --- tasks that cannot be enqueued ------------------------------------------------------------


def test_a_task_under_a_name_that_no_worker_finds_is_refused():
    def hidden() -> None: ...

    hidden.__qualname__ = "hidden"
    found_nowhere = task(hidden)

    with pytest.raises(InvalidTask, match=r"'tests\.backends\.test_database\.hidden'"):
        found_nowhere.enqueue()


def test_a_task_of_the_main_module_is_refused():
    def main() -> None: ...

    main.__qualname__, main.__module__ = "main", "__main__"

    with pytest.raises(InvalidTask, match="defined in __main__"):
        task(main).enqueue()


def test_a_queue_that_was_removed_since_is_refused():
    slow = add.using(queue_name="slow")
    queues = override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": ["default"]}})

    with queues, pytest.raises(InvalidTask, match="'slow' is not valid"):
        slow.enqueue(1)


def test_without_a_list_of_queues_every_queue_is_valid():
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": []}}):
        result = add.using(queue_name="anything at all").enqueue(1)

    assert Job.objects.get(pk=result.id).queue_name == "anything at all"


# --- waiting ----------------------------------------------------------------------------------


def test_waiting_inside_a_transaction_is_refused():
    result = add.enqueue(1)

    with pytest.raises(OffloadError, match="inside a transaction would never return"):
        result.wait(timeout=1)


def test_an_error_of_the_callers_own_transaction_is_not_converted():
    with transaction.atomic():
        connection.needs_rollback = True
        try:
            with pytest.raises(transaction.TransactionManagementError):
                add.enqueue(1)
        finally:
            connection.needs_rollback = False
