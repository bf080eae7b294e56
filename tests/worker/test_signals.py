"""Which signals are sent for each end of a job, and in which process: the table in the docs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from offload import JobState
from offload.live import make_token
from offload.models import Job
from tests.settings.base import ROOT
from tests.tasks import add
from tests.worker import event_log, tasks
from tests.worker.conftest import StartWorker, has_started, until
from tests.workflow_rows import F, Flow, S

STARTED, FINISHED = "started running", "finished {}"


@pytest.fixture
def witness() -> Iterator[None]:
    """Log the signals of this process, and of child processes that start from now on."""
    flag = event_log.folder() / tasks.LOGS_SIGNALS
    flag.touch()
    tasks.log_signals()
    yield
    flag.unlink()
    for sent in tasks.SIGNALS:
        sent.disconnect(tasks._log_signal)


def signals_of(result: Any) -> list[tuple[str, bool]]:
    """Return the signals after enqueueing, and whether each was sent by this process."""
    return [
        (" ".join(entry.words[1:]), entry.pid == os.getpid())
        for entry in event_log.entries("signal", str(result.id))
    ]


def update(result: Any, **columns: Any) -> None:
    assert Job.objects.filter(pk=result.id).update(**columns)


def kill_process_of(result: Any) -> None:
    until(lambda: has_started(result))
    os.kill(event_log.entries("running", result.id)[-1].pid, signal.SIGKILL)


# --- the kinds of ends; each function returns a job that ends so ----------------------------


# All are tasks of one module, whose import connects the receivers in a child.


def successful() -> Any:
    return tasks.log_word.enqueue("signals")


def failed() -> Any:
    return tasks.throw.enqueue("memory")


def retried() -> Any:
    return tasks.retry_once.enqueue(0)


def expired() -> Any:
    return tasks.log_word.using(expires=0.000001).enqueue("signals")


def unfindable() -> Any:
    with transaction.atomic():
        result = tasks.log_word.enqueue("signals")
        update(result, task_path="tests.worker.tasks.removed")
    return result


def timed_out() -> Any:
    return tasks.loop_forever.using(timeout=0.1, max_attempts=1).enqueue()


def killed_at_its_time_limit() -> Any:
    return tasks.hold_interpreter.using(timeout=0.1).enqueue()


def cancelled_while_running() -> Any:
    result = tasks.loop_forever.enqueue()
    until(lambda: has_started(result))
    result.cancel()
    return result


def lost_for_good() -> Any:
    with transaction.atomic():
        result = tasks.loop_forever.enqueue()
        update(result, max_worker_losses=0)
    kill_process_of(result)
    return result


def lost_and_cancelled() -> Any:
    result = tasks.loop_forever.enqueue()
    until(lambda: has_started(result))
    update(result, cancel_requested_at=timezone.now())  # the worker has not heard of it
    kill_process_of(result)
    return result


IN_A_WORKER: dict[Callable[[], Any], list[str]] = {
    successful: [STARTED, "finished successful"],
    failed: [STARTED, "finished failed"],
    retried: [STARTED, STARTED, "finished successful"],
    timed_out: [STARTED, "finished failed"],
    killed_at_its_time_limit: [STARTED, "finished failed"],
    cancelled_while_running: [STARTED, "finished cancelled"],
    lost_and_cancelled: [STARTED, "finished cancelled"],
    expired: ["finished expired"],
    unfindable: ["finished failed"],
    lost_for_good: [STARTED, "finished failed"],
}


def test_a_child_process_sends_the_signals_of_jobs_that_a_worker_ends(
    start_worker: StartWorker, witness: None
) -> None:
    start_worker(1, kill_grace_period=0.1)

    sent = {}
    for end in IN_A_WORKER:  # one after the other, as some kill the process
        result = end()
        until(lambda result=result: Job.objects.get(pk=result.id).finished_at)
        until(lambda result=result: "finished" in str(signals_of(result)))
        sent[end] = signals_of(result)

    for events in sent.values():
        events.remove(("enqueued ready", True))  # maybe after the start of the job
    assert sent == {end: [(name, False) for name in names] for end, names in IN_A_WORKER.items()}


def test_nobody_sends_the_signal_of_a_job_that_ends_with_its_worker(
    start_worker: StartWorker, witness: None
) -> None:
    """The worker's own process never runs user code, and its children have been killed."""
    running = start_worker(1, shutdown_timeout=0.1)
    with transaction.atomic():
        result = tasks.loop_forever.enqueue()
        update(result, max_worker_losses=0)
    until(lambda: has_started(result))

    running.stop()

    assert Job.objects.get(pk=result.id).state == JobState.FAILED
    assert sorted(signals_of(result)) == [("enqueued ready", True), (STARTED, False)]


@pytest.mark.usefixtures("takes_nothing_back")  # nor replaces the process with the receivers
def test_a_child_process_sends_the_signals_of_jobs_that_end_because_others_do(
    start_worker: StartWorker, witness: None
) -> None:
    graph = {"a": ((), S), "b": (("a",), S), "c": (("b",), S), "skipped": (("ok",), F)}
    flow = Flow(
        graph | {"ok": ((), S)},
        tasks={"a": tasks.throw, "ok": tasks.log_word},
        arguments={"a": '[["memory"], {}]', "ok": '[["x"], {}]'},
    )

    # The child sends them before it exits, for half of this time at most.
    start_worker(1, drain=True, kill_grace_period=120.0).join()

    for name, state in {"b": "cancelled", "c": "cancelled", "skipped": "skipped"}.items():
        assert signals_of(flow.row(name)) == [(f"finished {state}", False)]
    assert signals_of(flow.row()) == [("finished failed", False)]


@pytest.mark.usefixtures("takes_nothing_back")  # nor replaces the process with the receivers
def test_a_child_process_sends_the_signal_of_the_end_that_it_has_stored(
    start_worker: StartWorker, witness: None
) -> None:
    flow = Flow({"a": ((), S)}, tasks={"a": tasks.atomic_add})

    start_worker(1, drain=True, kill_grace_period=120.0).join()

    assert signals_of(flow.row("a")) == [(STARTED, False), ("finished successful", False)]
    assert signals_of(flow.row()) == [("finished successful", False)]


# --- ends and changes that need no worker ---------------------------------------------------


@dataclass
class Heard:
    """The signals that were sent in this process."""

    events: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, signal: Any, task_result: Any, **_: Any) -> None:
        self.events.append((tasks.SIGNALS[signal], task_result.state.label))
        assert task_result.status.name in {"READY", "FAILED"}
        if task_result.state.label == "cancelled":
            (error,) = task_result.errors
            assert error.exception_class_path == "offload.exceptions.JobCancelled"
            assert task_result.finished_at is not None


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    for sent in tasks.SIGNALS:
        sent.connect(heard)
    yield heard
    for sent in tasks.SIGNALS:
        sent.disconnect(heard)


def cancel_by_command(result: Any) -> None:
    call_command("offload_jobs", "cancel", result.id, stdout=StringIO())


def cancel_by_request(result: Any) -> None:
    """Press the button of the page, which needs no session with a token."""
    token = make_token([result.id], scopes=["cancel"])
    url = reverse("offload:cancel", args=[result.id])
    headers = {"Authorization": f"Offload {token}"}
    assert Client().post(url, headers=headers).status_code == 202


def retry_by_command(result: Any) -> None:
    call_command("offload_jobs", "retry", result.id, stdout=StringIO())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "cancel", [lambda result: result.cancel(), cancel_by_command, cancel_by_request]
)
@pytest.mark.parametrize("retry", [lambda result: result.retry(), retry_by_command])
def test_who_cancels_or_retries_a_waiting_job_sends_the_signal_after_the_commit(
    heard: Heard, cancel, retry
) -> None:
    result = add.enqueue(1)
    heard.events.clear()

    with transaction.atomic():
        cancel(result)
        assert heard.events == []
    assert heard.events == [("finished", "cancelled")]

    with transaction.atomic():
        retry(result)
        assert len(heard.events) == 1
    assert heard.events[1:] == [("enqueued", "ready")]


@pytest.mark.django_db(transaction=True)
def test_no_signal_is_sent_for_a_change_that_is_rolled_back(heard: Heard) -> None:
    result = add.enqueue(1)
    heard.events.clear()

    with transaction.atomic():
        result.cancel()
        transaction.set_rollback(True)

    assert heard.events == []


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_job_is_logged_but_not_as_an_error(heard: Heard, caplog) -> None:
    caplog.set_level("INFO")
    result = add.enqueue(1)
    result.cancel()

    (record,) = [r for r in caplog.records if "state=FAILED" in r.getMessage()]
    assert (record.levelname, result.id in record.getMessage()) == ("INFO", True)


@pytest.mark.django_db(transaction=True)
def test_a_workflow_is_not_logged_as_an_error_beside_its_part(
    start_worker: StartWorker, heard: Heard, caplog
) -> None:
    caplog.set_level("INFO")
    flow = Flow({"a": ((), S)}, tasks={"a": tasks.throw}, arguments={"a": '[["memory"], {}]'})

    start_worker(0, drain=True, kill_grace_period=120.0).join()

    assert heard.events[-1] == ("finished", "failed")
    assert len(heard.events) == 3
    levels = {
        str(key): record.levelname
        for record in caplog.records
        for key in (flow.row("a").pk, flow.id)
        if f"id={key} " in record.getMessage() and "state=FAILED" in record.getMessage()
    }
    assert levels == {str(flow.row("a").pk): "ERROR", str(flow.id): "INFO"}


def test_the_table_in_the_docs_has_a_row_for_each_kind_of_end() -> None:
    page = (ROOT / "docs" / "reference" / "tasks.md").read_text()
    (table,) = re.findall(r"\| the job \|.*?\n\n", page, re.S)

    # Four other ends have tests of their own, and three rows are about workflows.
    assert len(table.strip().splitlines()) - 2 == len(IN_A_WORKER) + 7
