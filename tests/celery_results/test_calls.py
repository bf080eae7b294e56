"""The rows of tasks that are called, before a worker has seen them. No worker runs."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, current_app
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from kombu.exceptions import OperationalError as BrokerError

from offload import acting_for
from offload.backends.base import get_backend
from offload.exceptions import InvalidJobState, QueueUnavailable
from offload.lifecycle import JobState
from offload.live.documents import job_document
from offload.live.jobs import job_result
from offload.models import Job
from offload.store import get_store
from offload.testing import run_jobs
from tests.celery_apps import refused, results, unsent
from tests.celery_results.reports import Task
from tests.jobs import claim, register_worker
from tests.live.clients import anonymous_client, user_client
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def current() -> Iterator[Celery]:
    """The application `unsent`, as that of the project."""
    previous = current_app._get_current_object()
    unsent.set_current()
    yield unsent
    previous.set_current()


@pytest.fixture
def revoked(current: Celery) -> Iterator[Any]:
    """A function that returns the ids that a worker is asked to revoke."""
    received: list[tuple[str, bool]] = []

    def revoke(_state: Any, task_id: str, *, terminate: bool = False, **_options: Any) -> None:
        received.append((task_id, terminate))

    with current.connection_for_read() as broker:
        mailbox = current.control.mailbox
        node = mailbox.Node("w1@shop", channel=broker.default_channel, handlers={"revoke": revoke})
        node.listen(callback=node.handle_message)

        def read() -> list[tuple[str, bool]]:
            broker.drain_events(timeout=30)
            return received

        yield read


def send(*args: Any, app: Celery = unsent, **options: Any) -> Any:
    return app.send_task("shop.tasks.report", args, **options)


@pytest.mark.django_db(transaction=True)
def test_a_task_has_a_row_as_soon_as_it_is_called() -> None:
    result = send(1, "a", kwargs={"b": None}, queue="mail", priority=3)
    job = Job.objects.get(pk=result.id)
    assert (job.state, job.queue_name, job.priority) == (JobState.READY, "mail", 3)
    assert (job.task_path, json.loads(job.arguments)) == (
        "shop.tasks.report",
        [[1, "a"], {"b": None}],
    )
    assert (result.state, unsent.backend.task_result_exists(result.id)) == ("PENDING", True)
    assert unsent.backend.get_task_meta(result.id)["name"] == "shop.tasks.report"


@pytest.mark.django_db(transaction=True)
def test_a_task_that_is_called_in_a_transaction_has_a_row_after_the_commit() -> None:
    """No worker has to wait for the locks of the transaction."""
    with transaction.atomic():
        result = send(1)
        assert not Job.objects.exists()
    assert Job.objects.get().pk.hex == result.id.replace("-", "")


@pytest.mark.django_db(transaction=True)
def test_the_tasks_of_a_transaction_are_added_together() -> None:
    """Also those that were called in a savepoint that is rolled back: they were sent."""
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        called = [send(number).id for number in range(20)]
        with transaction.atomic():
            called.append(send(20).id)
            transaction.set_rollback(True)
        called.append(send(21).id)
    assert {str(job.pk) for job in Job.objects.all()} == set(called)
    inserts = [query for query in queries if "INSERT" in query["sql"]]
    assert len(inserts) == 1


@pytest.mark.django_db(transaction=True)
def test_a_result_is_not_lost_with_the_transaction_of_the_call() -> None:
    with transaction.atomic():
        result = send(1)
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    task = Task(result.id)
    task.report("SUCCESS", 5)
    assert task.result.get(timeout=1) == 5


@pytest.mark.django_db(transaction=True)
def test_the_report_of_a_fast_worker_is_not_overwritten_by_the_call() -> None:
    with transaction.atomic():
        result = send(1)
        Task(result.id).report("SUCCESS", 5)
    assert result.get(timeout=1) == 5


def test_a_task_that_the_broker_does_not_accept_has_no_row() -> None:
    with pytest.raises(BrokerError):
        send(1, app=refused, retry=False)
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_task_without_a_result_has_no_row() -> None:
    send(1, ignore_result=True)
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_later_task_is_scheduled_and_may_expire() -> None:
    eta = datetime.now(UTC) + timedelta(hours=1)
    send(1, eta=eta, expires=eta + timedelta(minutes=5), time_limit=9)
    job = Job.objects.get()
    assert (job.state, job.run_after, job.timeout) == (JobState.SCHEDULED, eta, 9)
    assert job.expires_at == eta + timedelta(minutes=5)


@pytest.mark.django_db(transaction=True)
def test_long_or_odd_arguments_are_kept_as_short_text() -> None:
    send("x" * 100_000)
    args, kwargs = json.loads(Job.objects.get().arguments)
    assert kwargs == {}
    assert all(len(text) < 70_000 for text in args)
    assert job_result(Job.objects.get()).args == args


@pytest.mark.django_db(transaction=True)
def test_a_call_in_an_event_loop_does_not_block_it() -> None:
    """Another thread adds the row."""

    async def call() -> Any:
        return send(1)

    result = asyncio.run(call())
    wait_until(lambda: Job.objects.filter(pk=result.id).exists(), "the row exists")


@pytest.mark.django_db(transaction=True)
def test_a_dropped_connection_is_opened_again() -> None:
    if connection.vendor == "postgresql":
        drop = "SELECT pg_terminate_backend(pg_backend_pid())"
    elif connection.vendor == "mysql":
        drop = "KILL CONNECTION_ID()"
    else:
        pytest.skip("SQLite has no connection that a server could drop.")
    with pytest.raises(Exception, match=r"terminat|killed|lost|interrupted|gone"):
        connection.cursor().execute(drop)
    result = send(1)
    assert Job.objects.get().pk.hex == result.id.replace("-", "")
    with pytest.raises(Exception, match=r"terminat|killed|lost|interrupted|gone"):
        connection.cursor().execute(drop)
    Task(result.id).report("SUCCESS", 1)
    assert result.get(timeout=1) == 1


# --- other parts of the project -----------------------------------------------------------------


def test_no_worker_of_ours_touches_plain_tasks() -> None:
    waiting, running, late = Task(), Task(), Task()
    waiting.report("RETRY", ValueError())
    running.report("STARTED")
    late.report("RETRY", ValueError())
    Job.objects.filter(pk=late.id).update(state=JobState.SCHEDULED)
    before = list(Job.objects.exclude(pk=late.id).order_by("pk").values())

    worker = register_worker()
    store = get_store("default")
    assert claim(worker) == []
    assert store.rescue() == []
    assert store.ready_queues("default") == []
    run_jobs()
    assert list(Job.objects.exclude(pk=late.id).order_by("pk").values()) == before
    store.promote()  # a time that comes is no more than that
    late.report("STARTED", retries=1)
    assert late.result.state == "STARTED"


def test_the_caller_sees_the_task_and_others_do_not() -> None:
    ann = user_client("ann")
    task = Task()
    with acting_for(ann.user):
        task.report("PROGRESS", {"current": 3, "total": 10, "description": "Reading"})
    document = ann.get(f"/tasks/{task.id}/").json()
    assert (document["phase"], document["title"]) == ("running", "Report")
    assert document["progress"]["percent"] == 30.0
    assert document["progress"]["message"] == "Reading"
    assert user_client("bob").get(f"/tasks/{task.id}/").status_code == 404
    assert anonymous_client().get(f"/tasks/{task.id}/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_task_belongs_to_who_called_it_also_if_the_worker_adds_the_row() -> None:
    """The message says so."""
    user = User.objects.create(username="ann")
    with acting_for(user, tenant="north"), transaction.atomic():
        result = send(1)
        transaction.set_rollback(True)
    message = read_message(unsent)
    assert message["id"] == result.id
    Task(result.id).report("STARTED", offload=message["offload"])
    job = Job.objects.get()
    assert (job.owner, job.tenant) == (f"user:{user.pk}", "north")
    assert job.enqueued_at < job.last_attempted_at


def read_message(app: Celery) -> dict[str, Any]:
    """Return the headers of the newest message."""
    with app.connection_for_read() as broker:
        queue = broker.SimpleQueue("celery")
        headers: dict[str, Any] = {}
        while queue.qsize():
            message = queue.get()
            message.ack()
            headers = message.headers
        return headers


def test_a_task_that_has_waited_for_long_is_not_called_unserved() -> None:
    """Only the broker knows its place in the queue."""
    task = Task()
    task.report("RETRY", ValueError())
    Job.objects.update(run_after=datetime.now(UTC) - timedelta(hours=1))
    document = job_document(Job.objects.get(), {"status"})
    assert document["estimate"]["delay"] is None


def test_the_page_of_a_failed_task_names_no_exception() -> None:
    ann = user_client("ann")
    task = Task()
    with acting_for(ann.user):
        task.report("FAILURE", ValueError("secret"))
    response = ann.get(f"/tasks/{task.id}/")
    assert response.json()["phase"] == "failed"
    assert "secret" not in response.text


def test_options_of_a_plain_task_say_how_it_is_shown(current: Celery) -> None:
    @current.task(name="shop.public", title="Shown to all", visibility="public", expose_result=True)
    def public() -> None: ...

    task = Task()
    task.report("SUCCESS", {"rows": 3}, task="shop.public")
    document = anonymous_client().get(f"/tasks/{task.id}/").json()
    assert (document["title"], document["result"]) == ("Shown to all", {"rows": 3})


def test_options_of_a_task_are_known_before_its_module_is_imported() -> None:
    task = Task()
    name = "tests.celery_results.not_imported.shown_to_all"
    task.report("STARTED", task=name)
    document = anonymous_client().get(f"/tasks/{task.id}/").json()
    assert document["title"] == "Shown to all"


@pytest.mark.parametrize("state", ["RETRY", "STARTED"])
def test_cancelling_revokes(revoked: Any, state: str) -> None:
    ann = user_client("ann")
    task = Task("a name of its own")
    with acting_for(ann.user):
        task.report(state, ValueError() if state == "RETRY" else None)
    job = Job.objects.get()
    assert ann.post(f"/tasks/{job.pk}/cancel/").status_code == 202
    assert revoked() == [(task.id, True)]
    job.refresh_from_db()
    assert job.cancel_requested_at is not None
    assert job.state == (JobState.RUNNING if state == "STARTED" else JobState.READY)


def test_a_task_that_has_ended_cannot_be_cancelled() -> None:
    task = Task()
    task.report("SUCCESS", 1)
    with pytest.raises(InvalidJobState, match="is successful; it cannot be cancelled"):
        job_result(Job.objects.get()).cancel()


def test_a_broker_that_does_not_answer_is_named() -> None:
    previous = current_app._get_current_object()
    refused.set_current()
    task = Task()
    task.report("STARTED")
    try:
        with pytest.raises(QueueUnavailable, match="was not revoked, as Celery's broker"):
            get_backend("default").cancel(task.id)
    finally:
        previous.set_current()


def test_a_plain_task_cannot_be_retried_here() -> None:
    task = Task()
    task.report("FAILURE", ValueError())
    with pytest.raises(InvalidJobState, match="a plain Celery task, which cannot be retried here"):
        get_backend("default").retry(task.id)


def test_an_unknown_database_is_named() -> None:
    app = Celery("misspelled", backend="offload://defautl", set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match="'defautl' is not in DATABASES"):
        _ = app.backend


def test_a_result_can_be_pickled(current: Celery) -> None:
    backend = pickle.loads(pickle.dumps(results.backend))
    assert backend.using == "default"
    assert backend.as_uri() == "offload://"
    assert str(uuid4()) not in backend.as_uri()
