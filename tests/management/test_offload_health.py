"""`offload_health`, whose exit code container probes check."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import F
from django.utils import timezone

from offload import queues
from offload.lifecycle import JobState
from offload.models import Job, LimitKey, Worker
from offload.store import get_store
from offload.store.queries import oldest_wait, unserved_queues
from tests import limited_tasks
from tests.jobs import claim_limited
from tests.management.factories import register_worker, start
from tests.management.query_plans import explain_queries
from tests.tasks import add, plain
from tests.worker.conftest import until

pytestmark = pytest.mark.django_db


def health(*args: str) -> tuple[int, str]:
    """Return the exit code and the output."""
    output = StringIO()
    try:
        call_command("offload_health", *args, stdout=output)
    except SystemExit as error:
        return int(error.code or 0), output.getvalue()
    return 0, output.getvalue()


def make_ready_for(seconds: float, result: object) -> None:
    """Change the time since when a job has been ready."""
    run_after = timezone.now() - timedelta(seconds=seconds)
    Job.objects.filter(pk=result.id).update(run_after=run_after)  # type: ignore[attr-defined]


def test_succeeds_with_a_worker_and_no_jobs():
    register_worker()

    code, output = health()

    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()] == [
        ["ok", "database"],
        ["ok", "migrations"],
        ["ok", "worker"],
        ["ok", "queue"],
    ]
    assert "Serving backend 'default': worker-1:42 (all queues)." in output
    assert "No job is waiting for a worker." in output


def test_names_the_queues_of_each_worker():
    register_worker(queues="mail,reports")
    register_worker(queues=",mail")

    _, output = health()

    assert "worker-1:42 (mail, reports)" in output
    assert "worker-1:42 (all queues but mail)" in output


def test_names_jobs_that_hold_up_their_process():
    worker = register_worker()
    job = start(add.enqueue(1), worker)
    held_up = [(job.pk.hex, job.fence)]
    get_store("default").heartbeat(worker.pk, lease=30.0, held_up=held_up)

    code, output = health()

    assert code == 0
    assert "A child process of worker-1:42 does not respond, as a job holds" in output
    assert str(job.pk) in output
    details = StringIO()
    call_command("offload_jobs", "show", str(job.pk), stdout=details)
    assert "its child process does not respond" in details.getvalue()


def test_names_workers_that_the_load_of_their_machine_slows_down():
    worker = register_worker()
    get_store("default").heartbeat(worker.pk, lease=30.0, high_load=9.25)

    code, output = health()

    assert code == 0
    assert "worker-1:42 claims only one job a minute, as the load of its machine is" in output
    assert "above max_load: 9.2" in output


def test_code_that_calls_the_command_gets_an_exit_and_no_output(capsys):
    with pytest.raises(SystemExit):
        call_command("offload_health", max_age=300, verbosity=0)
    register_worker()
    call_command("offload_health", max_age=300, verbosity=0)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("lease", [None, -1])
def test_fails_without_a_worker_whose_lease_is_valid(lease):
    if lease is not None:
        register_worker(lease=lease)

    code, output = health()

    assert code == 1
    assert "FAILED  worker      No worker serves backend 'default'." in output
    assert "Start one: python manage.py offload_worker\n" in output


def test_ignores_workers_of_other_backends():
    register_worker(backend="other")

    assert health()[0] == 1


@pytest.mark.parametrize(
    ("queues", "code"), [("", 0), ("mail", 0), ("default,mail", 0), ("default", 1), ("mails", 1)]
)
def test_checks_for_a_worker_that_serves_the_queue(queues, code):
    register_worker(queues=queues)

    assert health("--queue", "mail")[0] == code


def test_shows_the_command_that_serves_the_queue():
    output = health("--queue", "mail")[1]

    assert "Start one: python manage.py offload_worker --queues mail\n" in output


def test_checks_for_a_worker_on_this_host(monkeypatch):
    register_worker()

    assert health("--this-host")[0] == 1

    monkeypatch.setattr("socket.gethostname", lambda: "worker-1")

    assert health("--this-host")[0] == 0


def test_fails_if_a_job_has_been_waiting_for_too_long():
    register_worker()
    make_ready_for(100, add.enqueue(1))
    add.using(priority=50).enqueue(2)

    assert health()[0] == 0
    assert health("--max-age", "200")[0] == 0

    code, output = health("--max-age", "50")

    assert code == 1
    assert re.search(r"The oldest waiting job has been ready for 1\d\d\.\d s, ", output)
    assert "longer than --max-age 50 s" in output


def test_a_due_job_that_no_worker_promoted_counts_as_waiting():
    result = add.using(run_after=timedelta(seconds=60)).enqueue(1)

    assert oldest_wait("default", "default") is None

    make_ready_for(30, result)

    assert 29 < (oldest_wait("default", "default") or 0) < 60


def test_checks_only_waiting_jobs_of_the_queue():
    register_worker()
    make_ready_for(100, plain.enqueue(1))
    make_ready_for(100, start(add.enqueue(1)))

    assert health("--max-age", "50", "--queue", "default")[0] == 0
    assert health("--max-age", "50", "--queue", "mail")[0] == 1


def test_prints_json():
    code, output = health("--json")

    document = json.loads(output)
    assert code == 1
    assert document["healthy"] is False
    assert (document["backend"], document["queue_name"]) == ("default", None)
    assert [(check["check"], check["ok"]) for check in document["checks"]] == [
        ("database", True),
        ("migrations", True),
        ("worker", False),
        ("queue", True),
    ]


def test_reports_missing_migrations():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'offload' AND name LIKE '0001%%'")

    code, output = health()

    assert code == 1
    assert "FAILED  migrations  Not applied: 0001_" in output
    assert "Run: python manage.py migrate\n" in output


def test_reports_that_the_database_does_not_respond(monkeypatch):
    def refuse() -> None:
        raise OperationalError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "ensure_connection", refuse)
        patch.setattr(connection, "close", lambda: None)
        code, output = health()

    assert code == 1
    assert output.splitlines() == [
        "FAILED  database    The job queue in DATABASES['default'] does not respond: connection "
        "refused. Start the database, or correct DATABASES['default']."
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--queue", "mial"], "Unknown queue 'mial'. Did you mean 'mail'?"),
        (["--backend", "other"], "Choices are: default."),
        (["--max-age", "soon"], "'soon' is not a number."),
    ],
)
def test_explains_an_invalid_argument(args, message):
    with pytest.raises(CommandError) as caught:
        health(*args)

    assert message in str(caught.value)


def test_the_oldest_job_is_found_by_indexes():
    add.enqueue(1)
    plain.using(priority=7).enqueue(1)

    plans = explain_queries(lambda: oldest_wait("default", "default"))

    jobs = [plan for plan in plans if "offload_job" in plan]
    assert jobs
    indexes = ("offload_job_ready", "offload_job_scheduled", "offload_job_limited")
    assert all(any(index in plan for index in indexes) for plan in jobs), jobs


# --- jobs with a limit ----------------------------------------------------------------------


def wait_of_limited(**columns: object) -> float | None:
    """Return the oldest wait, if all limited jobs are a minute old."""
    Job.objects.filter(state=JobState.LIMITED).update(
        run_after=timezone.now() - timedelta(seconds=60), **columns
    )
    return oldest_wait("default", "default")


def test_a_job_that_waits_for_its_limit_raises_no_alarm():
    worker = register_worker()
    limited_tasks.single.enqueue_many([((), {})] * 2)
    limited_tasks.rated.enqueue_many([((), {})] * 4)
    limited_tasks.with_total.enqueue_many([((customer,), {}) for customer in "aabbcc"])
    assert len(claim_limited(worker.pk.hex)) == 1 + 3 + 5

    assert wait_of_limited() is None
    assert "No job is waiting for a worker." in health("--max-age", "30")[1]


def test_a_job_whose_limit_lets_it_start_waits_for_a_worker():
    worker = register_worker()
    limited_tasks.call_api.enqueue_many([(("a",), {})] * 2)
    assert (wait_of_limited() or 0) > 59  # no worker has looked at it
    (job,) = claim_limited(worker.pk.hex, slots=1)

    assert 0 <= (wait_of_limited() or -1) < 30  # since it may start, not since it was enqueued

    LimitKey.objects.update(open_at=F("open_at") - 45_000_000)
    assert 44 < (wait_of_limited() or 0) < 60
    assert health("--max-age", "30")[0] == 1
    assert oldest_wait("default", "default", "mail") is None
    assert job.limit_key == "tests.limited_tasks.call_api:a"


def test_a_job_that_only_takes_turns_waits_for_a_worker():
    worker = register_worker()
    limited_tasks.fair.enqueue_many([((customer,), {}) for customer in "aab"])
    claim_limited(worker.pk.hex, slots=1)

    assert (wait_of_limited() or 0) > 59


def test_a_queue_of_limited_jobs_may_be_unserved():
    register_worker(queues="default")
    limited_tasks.single.enqueue()
    limited_tasks.call_api.using(queue_name="slow").enqueue_many([((c,), {}) for c in "abc"])
    limited_tasks.rated.using(queue_name="mail").enqueue()
    limited_tasks.rated.using(queue_name="slow").enqueue()

    assert unserved_queues("default", "default") == {"mail": 1, "slow": 4}
    plans = explain_queries(lambda: unserved_queues("default", "default"))
    lines = [plan for plan in plans if "limit_slot" in plan or "offload_job_limited" in plan]
    assert lines
    assert all("offload_job_limited" in plan for plan in lines)


# --- queues without a worker ----------------------------------------------------------------


def unserved(*args: str) -> list[str]:
    """Return the messages about queues that no worker serves."""
    code, output = health("--json", *args)
    failures = [check for check in json.loads(output)["checks"] if not check["ok"]]
    assert code == bool(failures)
    return [check["message"] for check in failures]


def test_a_paused_queue_is_named_and_is_no_failure():
    register_worker(queues="default")
    make_ready_for(100, add.using(queue_name="mail").enqueue(1))
    add.using(queue_name="mail", run_after=timedelta(seconds=0)).enqueue(1)
    limited_tasks.single.using(queue_name="mail").enqueue()
    assert health("--max-age", "60")[0] == 1

    queues.pause("mail", reason="The provider is down", changed_by="ada")

    for arguments in ([], ["--max-age", "60"]):
        code, output = health(*arguments)
        assert code == 0, output
        assert "ok      queue       Queue 'mail' is paused by ada: The provider is down." in output
    assert "paused" not in health("--queue", "default")[1]


def test_fails_if_a_queue_has_jobs_and_no_worker_serves_it():
    register_worker(queues="default")
    register_worker(queues="slow", lease=-1)
    add.using(queue_name="slow").enqueue_many([((n,), {}) for n in range(3)])
    make_ready_for(10, add.using(queue_name="mail", run_after=timedelta(hours=1)).enqueue(1))
    add.using(queue_name="mail", run_after=timedelta(hours=1)).enqueue(2)
    add.enqueue(1)

    command = "Start one: python manage.py offload_worker --queues"
    assert unserved() == [
        f"Queue 'mail' has 1 job to run, and no worker serves it. {command} mail",
        f"Queue 'slow' has 3 jobs to run, and no worker serves it. {command} slow",
    ]
    assert unserved("--queue", "default") == []
    assert "to run" not in health("--this-host")[1]
    assert health()[1].count("FAILED  worker ") == 2


def test_a_worker_with_duties_only_serves_no_queue(start_worker, monkeypatch):
    start_worker(duties_only=True)
    until(Worker.objects.exists)
    add.enqueue(1)

    assert "Queue 'default' has 1 job to run, and no worker serves it." in health()[1]
    assert health()[0] == 1
    assert health("--this-host")[0] == 0  # as its container's probe asks


def test_the_command_for_a_queue_of_celerys_workers_is_shown(settings):
    path = "offload.backends.celery.CeleryBackend"
    options = {"celery_app": "mysite.celery.app", "celery_queue_prefix": "jobs-"}
    settings.TASKS = {"default": {"BACKEND": path, "QUEUES": [], "OPTIONS": options}}
    register_worker(queues="default")
    Job.objects.filter(pk=add.enqueue(1).id).update(queue_name="mail")

    assert unserved() == [
        "Queue 'mail' has 1 job to run, and no worker serves it. Start one: "
        "celery -A mysite.celery worker --queues jobs-mail"
    ]


@pytest.mark.parametrize("queues", [["default", "mail", "slow"], []])
def test_a_queue_that_every_worker_excludes_is_not_served(settings, start_worker, queues):
    settings.TASKS = {"default": {**settings.TASKS["default"], "QUEUES": queues}}
    start_worker(excluded=["mail", "slow"])
    until(Worker.objects.exists)
    plain.enqueue(1)
    add.enqueue(1)

    (message,) = unserved()
    assert message.startswith("Queue 'mail' has 1 job to run")


def test_jobs_of_other_backends_are_checked_unless_one_is_named(settings):
    settings.TASKS = {**settings.TASKS, "second": {**settings.TASKS["default"], "QUEUES": []}}
    register_worker()
    Job.objects.filter(pk=add.enqueue(1).id).update(backend="second", queue_name="im ports")

    assert unserved() == [
        "Queue 'im ports' of backend 'second' has 1 job to run, and no worker serves it. Start "
        "one: python manage.py offload_worker --backend second --queues 'im ports'"
    ]
    assert unserved("--backend", "default") == []
    assert len(unserved("--backend", "second")) == 2


def test_unserved_queues_are_found_by_indexes():
    add.enqueue(1)

    plans = explain_queries(lambda: unserved_queues("default", "default"))

    jobs = [plan for plan in plans if "offload_job" in plan]
    indexes = ("offload_job_ready", "offload_job_scheduled", "offload_job_limited")
    assert all(any(index in plan for index in indexes) for plan in jobs), jobs
