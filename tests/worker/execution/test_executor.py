"""Each attempt has one outcome, whatever the task does."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from django.dispatch import Signal
from django.tasks.signals import task_finished, task_started
from django.test import override_settings

from offload import task_modules
from offload.backends.database import DatabaseBackend
from offload.lifecycle import CANCELLED_BY_REQUEST, JobState, Outcome, cancelled
from offload.models import Job
from offload.timestamps import now_microseconds
from offload.worker.execution import executor
from offload.worker.execution.announcements import announce_finished
from tests.jobs import claim, register_worker
from tests.models import Effect
from tests.tasks import aadd, add, attempt_number, fail, plain
from tests.worker import tasks
from tests.worker.job_runs import claimed, run


@pytest.fixture
def listen() -> Iterator[Callable[..., None]]:
    """Connect receivers for one test."""
    connected: list[tuple[Signal, Any]] = []

    def connect(signal: Signal, receiver: Any) -> None:
        signal.connect(receiver, weak=False)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


def failure_of(outcome: Outcome) -> tuple[str, str, str]:
    assert outcome.failure is not None
    return outcome.failure


# --- success ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [add, aadd])
def test_a_result_is_stored_as_json(task):
    outcome = run(claimed(task, 1, 2))

    assert (outcome.state, outcome.return_value) == (JobState.SUCCESSFUL, "3")
    assert outcome.failure is None


@pytest.mark.parametrize("task", [tasks.double, tasks.adouble])
def test_a_task_class_can_override_the_call(task):
    assert run(claimed(task, 2)).return_value == "4"


def test_a_task_of_django_itself_runs():
    assert run(claimed(plain, {"a": [1]})).return_value == '{"a":[1]}'


def test_keyword_arguments_reach_the_task():
    job = claimed(add)._replace(arguments=json.dumps([[1], {"b": 5}]))

    assert run(job).return_value == "6"


def test_a_task_context_has_the_attempt():
    assert run(claimed(attempt_number, attempt=2, max_attempts=3)).return_value == "1"
    previous = (("w" * 32, "builtins.ValueError", "Traceback"),)
    job = claimed(attempt_number, attempt=2, max_attempts=3, previous=previous)
    assert run(job).return_value == "2"


@pytest.mark.parametrize("task", [tasks.report_job, tasks.areport_job])
def test_a_task_can_read_its_current_job(task):
    columns = {"owner": "user:1", "tenant": "acme", "request_id": "r1", "max_attempts": 5}
    job = claimed(task, **columns, started_at=3_000_000, enqueued_at=2_000_000)

    shown = json.loads(run(job).return_value or "")

    assert shown == {
        "id": str(UUID(job.id)),
        "task_path": job.task_path,
        "queue_name": "default",
        "attempt": 1,
        "enqueued_at": "1970-01-01 00:00:02+00:00",
        "started_at": "1970-01-01 00:00:03+00:00",
        "is_cancelled": False,
        "scheduled_for": None,
        **columns,
    }


def test_a_tuple_and_other_keys_become_json():
    assert run(claimed(tasks.return_value, "tuple")).return_value == '[1,{"2":3}]'
    assert run(claimed(tasks.return_value, "none")).return_value == "null"


# --- the job's row ------------------------------------------------------------------------


def test_an_expired_job_is_not_started():
    outcome = run(claimed(tasks.log_word, "expired", expires_at=now_microseconds() - 1))

    assert (outcome.state, outcome.counts) == (JobState.EXPIRED, False)
    assert failure_of(outcome)[0] == "offload.exceptions.JobExpired"


@pytest.mark.parametrize(
    ("attempt", "worker_losses", "state"),
    [
        (1, 2, JobState.EXPIRED),  # lost: whether its function was entered is unknown
        (2, 0, JobState.SUCCESSFUL),  # an attempt failed, so the job was started in time
        (2, 1, JobState.SUCCESSFUL),
    ],
)
def test_a_job_may_expire_until_an_attempt_has_counted(attempt, worker_losses, state):
    expires_at = now_microseconds() - 1
    job = claimed(add, 1, expires_at=expires_at, attempt=attempt, worker_losses=worker_losses)

    assert run(job).state == state


def test_a_job_that_has_not_expired_runs():
    job = claimed(add, 1, expires_at=now_microseconds() + 60_000_000)

    assert run(job).state == JobState.SUCCESSFUL


@pytest.mark.parametrize("arguments", ["", "{", "5", "[]", "[1, 2]", "null", "[[]]"])
def test_a_row_that_cannot_be_read_fails(arguments):
    outcome = run(claimed(add)._replace(arguments=arguments))

    assert outcome.state == JobState.FAILED
    assert "cannot be read" in failure_of(outcome)[1]


@pytest.mark.parametrize(
    "path", ["tests.worker.tasks.gone", "tests.nowhere.task", "nowhere.task", "task", "", "a b.c"]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_missing_task_fails_the_job(path, is_async):
    outcome = run(claimed(path, is_async=is_async))

    assert outcome.state == JobState.FAILED
    assert failure_of(outcome)[0] == "offload.exceptions.TaskNotFound"


def test_a_missing_task_is_retried_as_newer_code_may_have_it():
    assert run(claimed("nowhere.task", max_attempts=2)).state in {
        JobState.READY,
        JobState.SCHEDULED,
    }


def test_a_function_that_is_no_task_is_not_called():
    outcome = run(claimed("os.getcwd"))

    assert failure_of(outcome)[0] == "offload.exceptions.TaskNotFound"


@pytest.mark.parametrize(
    "error", [RuntimeError, SyntaxError, ImportError, SystemExit, KeyboardInterrupt, GeneratorExit]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_job_waits_while_its_module_cannot_be_imported(error, is_async, monkeypatch, caplog):
    monkeypatch.setattr(sys, "offload_test_exception", error("broken module"), raising=False)
    monkeypatch.setattr(task_modules, "FAILURE_SECONDS", 0)  # the next error is another

    executor._log_import_error.cache_clear()
    job = claimed("tests.worker.unimportable.task", is_async=is_async)

    outcomes = [run(job), run(job)]

    assert [outcome.state for outcome in outcomes] == [JobState.SCHEDULED] * 2
    assert not any(outcome.counts or outcome.failure for outcome in outcomes)
    [record] = errors_in(caplog)
    assert f"({error.__name__}: broken module)" in record.getMessage()
    assert record.exc_info
    assert run(job, lambda: True).state == JobState.CANCELLED
    long_ago = now_microseconds() - 1
    assert run(job._replace(expires_at=long_ago)).state == JobState.EXPIRED


def test_a_queue_that_the_settings_no_longer_have_does_not_matter():
    assert run(claimed(add, 1, queue_name="removed")).state == JobState.SUCCESSFUL


def test_a_backend_that_the_settings_no_longer_have_does_not_matter():
    assert run(claimed(add, 1, backend="removed")).state == JobState.SUCCESSFUL


# --- signatures ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", [tasks.takes_one, tasks.atakes_one])
def test_arguments_that_do_not_fit_fail_the_job_without_retry(task):
    outcome = run(claimed(task, 1, 2, 3))

    assert outcome.state == JobState.FAILED
    assert failure_of(outcome)[0] == "builtins.TypeError"
    assert "positional argument" in failure_of(outcome)[1]


def test_a_type_error_within_the_task_is_retried():
    assert run(claimed(tasks.raise_type_error_inside, 1)).state == JobState.READY


# --- exceptions ---------------------------------------------------------------------------


@pytest.fixture
def unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep surrogates out of the captured log, as pytest-xdist could not send them."""
    monkeypatch.setattr(logging.getLogger("django.tasks"), "disabled", True)


@pytest.mark.parametrize("name", list(tasks.EXCEPTIONS))
@pytest.mark.parametrize("task", [tasks.throw, tasks.athrow])
@pytest.mark.usefixtures("unlogged")
def test_every_exception_is_a_failure_that_can_be_stored(task, name):
    if task is tasks.athrow and name == "StopIteration":
        name = "NUL"  # a coroutine cannot raise StopIteration

    outcome = run(claimed(task, name))

    assert outcome.state == JobState.FAILED
    for text in failure_of(outcome):
        assert "\0" not in text
        text.encode()
        assert len(text) < 40_000


def test_infinite_recursion_is_a_failure():
    outcome = run(claimed(tasks.recurse_endlessly))

    assert failure_of(outcome)[0] == "builtins.RecursionError"


def test_a_traceback_starts_in_the_task():
    _, message, traceback = failure_of(run(claimed(fail, "why")))

    assert message == "why"
    assert traceback.count("  File ") == 1
    assert "tests/tasks.py" in traceback
    assert traceback.endswith("ValueError: why\n")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("SystemExit", "builtins.SystemExit"),
        ("CancelledError", "asyncio.exceptions.CancelledError"),
        ("group", "builtins.ExceptionGroup"),
        ("without module", "None.WithoutModule"),
        ("unprintable", "tests.worker.tasks.Unprintable"),
    ],
)
def test_the_class_of_the_exception_is_named(name, path):
    assert failure_of(run(claimed(tasks.throw, name)))[0] == path


# --- results ------------------------------------------------------------------------------


INVALID_RESULT = "offload.exceptions.InvalidResult"


@pytest.mark.parametrize("name", ["object", "set", "nan", "infinite", "huge", "NUL", "surrogate"])
@pytest.mark.parametrize("task", [tasks.return_value, tasks.areturn_value])
def test_a_result_that_cannot_be_stored_fails_the_job_without_retry(task, name):
    outcome = run(claimed(task, name))

    assert (outcome.state, outcome.return_value) == (JobState.FAILED, None)
    unstorable = "builtins.TypeError" if name in {"object", "set"} else INVALID_RESULT
    assert failure_of(outcome)[0] == unstorable
    assert "return value" in failure_of(outcome)[1]


def test_a_result_that_contains_itself_fails_the_job():
    outcome = run(claimed(tasks.return_value, "cycle"))

    assert failure_of(outcome)[0] == INVALID_RESULT


def test_the_limit_of_results_is_a_setting():
    backend = "offload.backends.database.DatabaseBackend"
    options = {"max_result_size": 1024}
    with override_settings(TASKS={"default": {"BACKEND": backend, "OPTIONS": options}}):
        outcome = run(claimed(plain, "x" * 2000))

    assert "max_result_size" in failure_of(outcome)[1]


# --- retries ------------------------------------------------------------------------------


def test_a_retry_has_its_own_delay():
    outcome = run(claimed(tasks.raise_retry, 7.5))

    assert (outcome.state, outcome.delay, outcome.counts) == (JobState.SCHEDULED, 7.5, True)


def test_a_retry_with_zero_delay_is_ready_at_once():
    assert run(claimed(tasks.raise_retry, 0)).state == JobState.READY


def test_a_retry_without_a_delay_uses_the_backoff():
    outcome = run(claimed(tasks.raise_retry))

    assert outcome.state == JobState.SCHEDULED
    assert 0 < outcome.delay <= 2


def test_the_last_attempt_fails_even_if_it_raises_retry():
    outcome = run(claimed(tasks.raise_retry, 7.5, attempt=3))

    assert outcome.state == JobState.FAILED
    assert failure_of(outcome)[0] == "offload.exceptions.Retry"


def test_a_snooze_does_not_count_as_an_attempt():
    outcome = run(claimed(tasks.snooze, 60))

    assert (outcome.state, outcome.delay) == (JobState.SCHEDULED, 60)
    assert (outcome.counts, outcome.failure) == (False, None)


@pytest.mark.parametrize(
    ("kind", "state"),
    [("os", JobState.READY), ("pipe", JobState.FAILED), ("value", JobState.FAILED)],
)
def test_retry_on_and_no_retry_on_decide_about_a_retry(kind, state):
    assert run(claimed(tasks.retry_only_os_errors, kind)).state == state


def test_a_backoff_is_called_with_exception_and_result():
    previous = (("w" * 32, "builtins.ValueError", "Traceback"),)
    outcome = run(claimed(tasks.fail_with_backoff, attempt=2, previous=previous))

    assert outcome.delay == 200


@pytest.mark.parametrize("task", [tasks.fail_with_broken_backoff, tasks.fail_with_invalid_backoff])
def test_a_backoff_that_fails_is_logged_and_replaced(task, caplog):
    outcome = run(claimed(task))

    assert outcome.state == JobState.SCHEDULED
    assert 0 <= outcome.delay <= 2
    assert any("backoff" in record.message for record in caplog.records)


# --- cancelled ----------------------------------------------------------------------------


def test_a_cancelled_job_is_not_retried():
    assert run(claimed(tasks.fail_with_backoff), lambda: True).state == JobState.CANCELLED


def test_a_cancelled_job_is_not_snoozed():
    assert run(claimed(tasks.snooze, 60), lambda: True).state == JobState.CANCELLED


def test_a_cancelled_job_that_succeeds_is_successful():
    assert run(claimed(add, 1), lambda: True).state == JobState.SUCCESSFUL


def test_a_task_that_raises_cancelled_error_has_failed_unless_it_is_cancelled():
    assert run(claimed(tasks.athrow, "CancelledError")).state == JobState.FAILED
    assert run(claimed(tasks.athrow, "CancelledError"), lambda: True).state == JobState.CANCELLED


# --- signals and logs ---------------------------------------------------------------------


class Witness:
    """A receiver of both signals."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, str, Any, Any]] = []

    def __call__(self, signal: Signal, sender: Any, task_result: Any, **_: Any) -> None:
        name = "started" if signal is task_started else "finished"
        self.calls.append((sender, name, task_result.status.name, sys.exc_info()[0]))


@pytest.fixture
def witness(listen: Callable[..., None]) -> Witness:
    witness = Witness()
    listen(task_started, witness)
    listen(task_finished, witness)
    return witness


@pytest.mark.parametrize("task", [add, aadd])
def test_a_success_sends_both_signals(task, witness):
    run(claimed(task, 1))

    assert witness.calls == [
        (DatabaseBackend, "started", "RUNNING", None),
        (DatabaseBackend, "finished", "SUCCESSFUL", None),
    ]


@pytest.mark.parametrize("task", [tasks.throw, tasks.athrow])
def test_a_failure_is_announced_while_the_exception_is_current(task, witness):
    run(claimed(task, "group"))

    assert witness.calls == [
        (DatabaseBackend, "started", "RUNNING", None),
        (DatabaseBackend, "finished", "FAILED", ExceptionGroup),
    ]


def test_an_attempt_that_is_retried_is_not_announced_as_finished(witness):
    run(claimed(tasks.fail_with_backoff))

    assert [name for _, name, _, _ in witness.calls] == ["started"]


def test_a_job_that_did_not_start_is_announced_as_finished_only(witness):
    run(claimed("tests.worker.tasks.gone"))

    assert [name for _, name, _, _ in witness.calls] == ["finished"]


def exit_(**_: Any) -> None:
    raise SystemExit("a receiver")


def raise_(**_: Any) -> None:
    raise ValueError("a receiver")


async def araise(**_: Any) -> None:
    raise ValueError("a receiver")


@pytest.mark.parametrize("signal", [task_started, task_finished])
@pytest.mark.parametrize("receiver", [raise_, exit_, araise])
@pytest.mark.parametrize("task", [add, aadd])
def test_an_exception_in_a_receiver_changes_nothing(signal, receiver, task, listen, caplog):
    listen(signal, receiver)

    assert run(claimed(task, 1)).return_value == "1"
    assert any("a receiver" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize("receiver", [raise_, exit_, araise])
@pytest.mark.parametrize("task", [tasks.throw, tasks.athrow])
def test_a_receiver_that_raises_does_not_hide_the_failure(receiver, task, listen):
    listen(task_finished, receiver)

    assert failure_of(run(claimed(task, "group")))[0] == "builtins.ExceptionGroup"


@pytest.mark.parametrize("task", [add, aadd])
def test_an_async_receiver_is_called(task, listen):
    senders = []

    async def receive(sender: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        senders.append(sender)

    listen(task_finished, receive)
    run(claimed(task, 1))

    assert senders == [DatabaseBackend]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("task", [add, aadd])
def test_a_receiver_can_use_the_database(task, listen):
    counts = []

    def count(**_: Any) -> None:
        counts.append(Job.objects.count())

    listen(task_started, count)
    listen(task_finished, count)
    run(claimed(task, 1))

    assert counts == [0, 0]


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("name", sorted(tasks.EXCEPTIONS.keys() - {"surrogate"}))
def test_a_failure_is_logged_as_one_error_that_names_job_and_task(name, caplog):
    job = claimed(tasks.throw, name)

    run(job)

    (record,) = errors_in(caplog)
    assert record.name == "django.tasks"
    assert "tests.worker.tasks.throw" in record.getMessage()
    assert job.id in record.getMessage().replace("-", "")
    assert record.exc_info


def test_a_failure_that_tells_the_user_what_to_do_is_no_error_in_the_log(caplog):
    caplog.set_level(logging.INFO, "django.tasks")

    for task in (tasks.refuse_file, tasks.arefuse_file):
        assert run(claimed(task)).state == JobState.FAILED

    finished = [r for r in caplog.records if "state=FAILED" in r.getMessage()]
    assert [record.levelname for record in finished] == ["INFO", "INFO"]


@pytest.mark.parametrize(
    ("task", "arguments", "level"),
    [
        (tasks.fail_with_backoff, (), "WARNING"),
        (tasks.snooze, (60,), "INFO"),
        (tasks.raise_retry, (), "INFO"),
    ],
)
def test_an_attempt_that_is_retried_is_logged_but_not_as_an_error(task, arguments, level, caplog):
    caplog.set_level(logging.INFO, "offload.worker")
    run(claimed(task, *arguments))

    assert not errors_in(caplog)
    levels = [r.levelname for r in caplog.records if task.module_path in r.getMessage()]
    assert levels[-1] == level


def test_a_failure_is_logged_without_control_characters_whatever_the_formatter(caplog):
    caplog.handler.setFormatter(logging.Formatter("%(message)s"))
    run(claimed(tasks.fail_with_text, "no\nINFO Task id=fake\x1b[2J"))
    run(claimed("tests.\x1b[2Jgone"))

    lines = caplog.text.splitlines()
    assert r"  INFO Task id=fake\x1b[2J" in lines
    assert any(r"path=tests.\x1b[2Jgone state=FAILED" in line for line in lines)
    assert "\x1b" not in caplog.text


def test_the_text_of_an_exception_does_not_forge_a_line_of_the_log(caplog):
    run(claimed(tasks.retry_with_text, "no\r\nINFO Task id=fake state=SUCCESSFUL\x1b[2J"))

    (line,) = [r.getMessage() for r in caplog.records if "failed (" in r.getMessage()]
    assert r"no\r\nINFO Task id=fake state=SUCCESSFUL\x1b[2J" in line


# --- atomic -------------------------------------------------------------------------------


def enqueued(task: Any, *args: Any, **kwargs: Any) -> Any:
    task.enqueue(*args, **kwargs)
    (job,) = claim(register_worker())
    return job


@pytest.mark.django_db(transaction=True)
def test_an_atomic_task_writes_its_result_with_its_effects():
    job = enqueued(tasks.atomic_write, "one")

    outcome = run(job)

    row = Job.objects.get()
    assert outcome.written
    assert (row.state, row.return_value) == (JobState.SUCCESSFUL, '"one"')
    assert Effect.objects.filter(token="one").count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_atomic_task_that_fails_leaves_no_effect():
    job = enqueued(tasks.atomic_write, "two", fails=True)

    outcome = run(job)

    assert (outcome.state, outcome.written) == (JobState.FAILED, False)
    assert not Effect.objects.filter(token="two").exists()


@pytest.mark.django_db(transaction=True)
def test_an_atomic_task_whose_job_another_worker_holds_leaves_no_effect(witness):
    job = enqueued(tasks.atomic_write, "three")
    Job.objects.update(fence=5)

    outcome = run(job)

    assert outcome.written
    assert Job.objects.get().state == JobState.RUNNING
    assert not Effect.objects.filter(token="three").exists()
    assert [name for _, name, _, _ in witness.calls] == ["started"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", ["value", "database", "exit"])
def test_an_atomic_task_that_was_committed_is_successful_whatever_its_hooks_raise(
    error, witness, caplog
):
    job = enqueued(tasks.atomic_write_with_hook, "four", error)

    outcome = run(job)

    assert Job.objects.get().state == outcome.state == JobState.SUCCESSFUL
    assert outcome.written
    assert [call[1:] for call in witness.calls] == [
        ("started", "RUNNING", None),
        ("finished", "SUCCESSFUL", None),
    ]
    assert "on_commit() callback failed" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_announces_jobs_leaves_no_connection_open(monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    seen: list[bool] = []

    def count_effects(**_: Any) -> None:
        Effect.objects.count()
        seen.append(connection.connection is not None)

    def announce() -> None:
        announce_finished([(claimed(add, 1), cancelled(CANCELLED_BY_REQUEST))])
        seen.append(connection.connection is not None)

    task_finished.connect(count_effects)
    try:
        thread = threading.Thread(target=announce)
        thread.start()
        thread.join()
    finally:
        task_finished.disconnect(count_effects)

    assert seen == [True, False]
