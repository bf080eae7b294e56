"""`offload_health`: its exit code is what container probes look at."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from offload.models import Job
from offload.store.queries import oldest_wait
from tests.management.rows import plans_of, register, run
from tests.tasks import add, plain

pytestmark = pytest.mark.django_db


def health(*args: str) -> tuple[int, str]:
    """Return the exit code and the output."""
    output = StringIO()
    try:
        call_command("offload_health", *args, stdout=output)
    except SystemExit as end:
        return int(end.code or 0), output.getvalue()
    return 0, output.getvalue()


def wait_for(seconds: float, result: object) -> None:
    """Let a job have been ready for so long."""
    moment = timezone.now() - timedelta(seconds=seconds)
    Job.objects.filter(pk=result.id).update(run_after=moment)  # type: ignore[attr-defined]


def test_is_well_with_an_engine_and_no_jobs():
    register()

    code, output = health()

    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()] == [
        ["ok", "database"],
        ["ok", "migrations"],
        ["ok", "engine"],
        ["ok", "queue"],
    ]
    assert "Backend 'default' is served by worker-1:42." in output
    assert "No job waits to be run." in output


@pytest.mark.parametrize("lease", [None, -1])
def test_fails_without_an_engine_that_beats(lease):
    if lease is not None:
        register(lease=lease)

    code, output = health()

    assert code == 1
    assert "FAILED  engine      No engine serves backend 'default'." in output
    assert "Start one: python manage.py offload_worker\n" in output


def test_an_engine_of_another_backend_does_not_count():
    register(backend="other")

    assert health()[0] == 1


@pytest.mark.parametrize(
    ("queues", "code"), [("", 0), ("mail", 0), ("default,mail", 0), ("default", 1), ("mails", 1)]
)
def test_asks_for_an_engine_that_serves_the_queue(queues, code):
    register(queues=queues)

    assert health("--queue", "mail")[0] == code


def test_names_the_command_that_would_serve_the_queue():
    output = health("--queue", "mail")[1]

    assert "Start one: python manage.py offload_worker --queues mail\n" in output


def test_asks_for_an_engine_on_this_host(monkeypatch):
    register()

    assert health("--this-host")[0] == 1

    monkeypatch.setattr("socket.gethostname", lambda: "worker-1")

    assert health("--this-host")[0] == 0


def test_fails_if_a_job_waits_for_too_long():
    register()
    wait_for(100, add.enqueue(1))
    add.using(priority=50).enqueue(2)

    assert health()[0] == 0
    assert health("--max-age", "200")[0] == 0

    code, output = health("--max-age", "50")

    assert code == 1
    assert "The oldest waiting job could have run for 100." in output
    assert "longer than --max-age 50 s" in output


def test_a_due_job_that_nobody_promoted_waits_too():
    result = add.using(run_after=timedelta(seconds=60)).enqueue(1)

    assert oldest_wait("default", "default") is None

    wait_for(30, result)

    assert 29 < (oldest_wait("default", "default") or 0) < 60


def test_looks_only_at_waiting_jobs_of_the_queue():
    register()
    wait_for(100, plain.enqueue(1))
    wait_for(100, run(add.enqueue(1)))

    assert health("--max-age", "50", "--queue", "default")[0] == 0
    assert health("--max-age", "50", "--queue", "mail")[0] == 1


def test_prints_json():
    code, output = health("--json")

    document = json.loads(output)
    assert code == 1
    assert document["healthy"] is False
    assert [(one["check"], one["ok"]) for one in document["findings"]] == [
        ("database", True),
        ("migrations", True),
        ("engine", False),
        ("queue", True),
    ]


def test_says_which_migrations_are_missing():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'offload' AND name LIKE '0001%%'")

    code, output = health()

    assert code == 1
    assert "FAILED  migrations  Not applied: 0001_" in output
    assert "Run: python manage.py migrate\n" in output


def test_says_that_the_database_does_not_answer(monkeypatch):
    def refuse() -> None:
        raise OperationalError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "ensure_connection", refuse)
        patch.setattr(connection, "close", lambda: None)
        code, output = health()

    assert code == 1
    assert output.splitlines() == [
        "FAILED  database    The job queue in DATABASES['default'] does not answer: connection "
        "refused. Start the database, or correct DATABASES['default']."
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--queue", "mial"], "Unknown queue 'mial'. Did you mean 'mail'?"),
        (["--backend", "other"], "Known are: default."),
        (["--max-age", "soon"], "'soon' is not a number."),
    ],
)
def test_says_what_is_wrong(args, message):
    with pytest.raises(CommandError) as caught:
        health(*args)

    assert message in str(caught.value)


def test_finds_the_oldest_job_by_indexes():
    add.enqueue(1)
    plain.using(priority=7).enqueue(1)

    plans = plans_of(lambda: oldest_wait("default", "default"))

    assert plans
    assert all("offload_job_ready" in plan or "offload_job_scheduled" in plan for plan in plans)
