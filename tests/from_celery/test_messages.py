"""Messages of Celery's become jobs, each once, on Redis and on RabbitMQ."""

from __future__ import annotations

import os
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from celery import chain, chord, signature
from django.utils import timezone

from offload.celery.result import AsyncResult
from offload.lifecycle import JobState
from offload.models import Job
from offload.testing import run_jobs
from tests.celery_apps import unsent
from tests.from_celery.brokers import PATH, FilledBroker, dumped
from tests.from_celery.conftest import Run
from tests.from_celery.tasks import OLD

pytestmark = pytest.mark.django_db


def messages(report: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report["messages"]["items"]
    return found


def left(report: dict[str, Any]) -> dict[str, list[str]]:
    return {item["by_hand"]: item["ids"] for item in messages(report) if item["is_left"]}


def test_messages_become_jobs_with_the_same_ids(broker: FilledBroker, run: Run) -> None:
    task_id = broker.send("add", 1, 2)
    named = broker.send("own_id", task_id="import-7")

    report = run("--write")

    assert [item["becomes"] for item in messages(report)] == ["became a job with the same ids"] * 2
    assert (report["code"], report["complete"], broker.waiting()) == (0, True, 0)
    run_jobs()
    assert AsyncResult(task_id).get() == 3
    assert AsyncResult(named).get() == "import-7"


def test_a_dry_run_changes_nothing(broker: FilledBroker, run: Run) -> None:
    broker.send("add", 1, 2)
    broker.send("shop.tasks.gone")

    report = run()

    assert not report["written"]
    assert report["code"] == 0
    assert (broker.waiting(), Job.objects.count()) == (2, 0)
    assert not [headers for headers in broker.bodies() if headers.get("redelivered")]


def test_a_dry_run_tells_of_redis_what_becomes_of_each_message(
    redis: FilledBroker, run: Run
) -> None:
    redis.send("add", 1, 2)
    gone = redis.send("shop.tasks.gone")

    became, stays = messages(run())

    assert became["becomes"] == "become a job with the same ids"
    assert stays["ids"] == [gone]


def test_a_second_run_changes_nothing(broker: FilledBroker, run: Run) -> None:
    broker.send("add", 1, 2)
    run("--write")

    report = run("--write")

    assert messages(report) == []
    assert Job.objects.count() == 1


def test_a_message_whose_job_exists_is_deleted(broker: FilledBroker, run: Run) -> None:
    task_id = broker.send("add", 1, 2)
    run("--write")
    broker.send("add", 1, 2, task_id=task_id)

    [item] = messages(run("--write"))

    assert item["becomes"] == "were jobs already, and are deleted"
    assert (Job.objects.count(), broker.waiting()) == (1, 0)


def test_a_task_whose_row_is_that_of_the_result_backend_stays(
    broker: FilledBroker, run: Run
) -> None:
    task_id = broker.send("add", 1, 2)
    unsent.backend.store_result(task_id, ValueError(), "RETRY")

    runs = [run("--write")] if not broker.is_redis else [run(), run("--write")]

    for report in runs:
        [(reason, ids)] = left(report).items()
        assert "The result backend offload:// has the row of this task." in reason
        assert ids == [task_id]
    assert broker.waiting() == 1
    assert Job.objects.get().backend == "offload://"


def test_messages_that_cannot_be_carried_stay_and_are_named(broker: FilledBroker, run: Run) -> None:
    gone = broker.send("shop.tasks.gone")
    later = broker.send(OLD)
    wrong = broker.send("add", 1)
    broker.send_raw(b"{not json", "application/json", task="add", id="broken")
    broker.send_raw(b"\x00", "application/octet-stream", id="bytes")
    broker.send_raw(dumped({"event": "signup"}), "application/json")
    unlisted = broker.send("add", 1, 2, queue=f"{broker.run}unlisted")
    broker.send("add", 1, 2)

    report = run("--write", "--queues", f"{broker.queue},{broker.run}unlisted")

    reasons = left(report)
    assert {identifier for ids in reasons.values() for identifier in ids} == {
        gone, later, wrong, "broken", "bytes", "unknown", unlisted,
    }  # fmt: skip
    texts = "\n".join(reasons)
    for part in (
        "There is no task 'shop.tasks.gone'",
        "change its import to offload.celery",
        "missing 1 required positional argument: 'y'",
        "Its body is not JSON (Expecting property name",
        "Its content type is 'application/octet-stream'",
        "It is not a call in Celery's protocol 1 or 2",
        "unlisted' is not valid for backend",
    ):
        assert part in texts
    assert (report["code"], report["complete"]) == (1, False)
    assert (broker.waiting(), broker.waiting(f"{broker.run}unlisted")) == (6, 1)
    assert Job.objects.count() == 1


def test_what_stays_keeps_its_order(broker: FilledBroker, run: Run) -> None:
    ids = [broker.send("shop.tasks.gone") for _ in range(3)]

    run("--write")

    assert [headers["id"] for headers in broker.bodies()] == ids


def test_a_message_is_not_unpickled_unless_asked(
    broker: FilledBroker, run: Run, tmp_path: Any
) -> None:
    body = pickle.dumps(([1, 2], {}, {}))
    headers = {"task": f"{PATH}.add", "id": "pickled"}
    broker.send_raw(body, "application/x-python-serialize", **headers)
    broker.send_raw(
        pickle.dumps(Trap(str(tmp_path / "trap"))), "application/x-python-serialize", id="trap"
    )

    [reason] = left(run("--write"))
    assert "pass --allow-pickle" in reason
    assert not (tmp_path / "trap").exists()

    run("--write", "--allow-pickle")

    run_jobs()
    assert AsyncResult("pickled").get() == 3
    assert (tmp_path / "trap").exists()


class Trap:
    """What makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_values_of_celerys_json_arrive_as_they_went(broker: FilledBroker, run: Run) -> None:
    value = {
        "at": datetime(2026, 11, 20, tzinfo=UTC),
        "price": Decimal("1.50"),
        "id": UUID(int=7),
        "data": b"\xff",
    }
    task_id = broker.send("same", value)

    run("--write")

    run_jobs()
    assert AsyncResult(task_id).get() == value


def test_times_limits_and_headers_arrive(broker: FilledBroker, run: Run) -> None:
    eta = timezone.now() + timedelta(hours=2)
    task_id = broker.send(
        "own_id",
        eta=eta,
        expires=eta + timedelta(hours=1),
        time_limit=50,
        soft_time_limit=40,
        headers={"tenant": "acme", "offload": {"at": 1, "owner": "7"}},
    )

    run("--write")

    job = Job.objects.get()
    assert (job.state, job.run_after, job.timeout) == (JobState.SCHEDULED, eta, 50)
    assert job.expires_at is not None
    assert abs(job.expires_at - eta - timedelta(hours=1)) < timedelta(seconds=1)
    assert str(job.pk) == task_id
    assert '"tenant": "acme"' in job.arguments or '"tenant":"acme"' in job.arguments
    assert "soft_time_limit" in job.arguments
    assert '"offload"' not in job.arguments


def test_an_eta_that_has_passed_is_now(broker: FilledBroker, run: Run) -> None:
    broker.send("add", 1, 2, eta=timezone.now() - timedelta(hours=2))

    run("--write")

    assert Job.objects.get().state == JobState.READY


def test_an_expired_message_becomes_an_expired_job(redis: FilledBroker, run: Run) -> None:
    task_id = redis.send("add", 1, 2, expires=timezone.now() - timedelta(hours=2))

    run("--write")

    run_jobs()
    assert AsyncResult(task_id).state == "REVOKED"


def test_several_queues_are_carried_under_their_names(broker: FilledBroker, run: Run, settings):
    settings.CELERY_TASK_ROUTES = {"shop.*": {"queue": "mail"}}
    names = {broker.queue, "mail"} if broker.is_redis else {broker.queue}
    for name in names:
        broker.send("add", 1, 2, queue=name)

    run("--write")

    assert set(Job.objects.values_list("queue_name", flat=True)) == names


def test_priorities_of_redis_keep_their_order(redis: FilledBroker, run: Run) -> None:
    ids = {priority: redis.send("add", 1, 2, priority=priority) for priority in (9, 0, 3, 6)}

    run("--write")

    found = {job.pk: job.priority for job in Job.objects.all()}
    assert {number: found[UUID(task_id)] for number, task_id in ids.items()} == {
        0: 0, 3: -30, 6: -60, 9: -90,
    }  # fmt: skip


def test_priorities_of_rabbitmq_are_those_of_tasks(rabbitmq: FilledBroker, run: Run) -> None:
    ids = {priority: rabbitmq.send("add", 1, 2, priority=priority) for priority in (9, 0, None)}

    run("--write")

    found = {job.pk: job.priority for job in Job.objects.all()}
    assert {number: found[UUID(task_id)] for number, task_id in ids.items()} == {
        9: 90, 0: 0, None: 0,
    }  # fmt: skip


def test_a_task_of_django_offload_that_kept_its_name_is_called(
    broker: FilledBroker, run: Run
) -> None:
    broker.send("plain", 5)

    run("--write")

    [result] = run_jobs()
    assert result.return_value == 5


def test_chains_and_links_become_workflows(broker: FilledBroker, run: Run) -> None:
    def of(name: str, *args: Any) -> Any:
        broker_task = signature(f"{PATH}.{name}", args, app=broker.app)
        return broker_task.set(queue=broker.queue)

    chained = chain(of("add", 1, 2), of("add", 10), of("add", Decimal(100))).apply_async()
    linked = of("add", 1, 1).apply_async(link=of("add", 5))

    report = run("--write")

    assert (report["code"], broker.waiting()) == (0, 0), messages(report)
    run_jobs()
    assert AsyncResult(chained.id).get() == 113
    assert AsyncResult(linked.id).get() == 2
    assert sorted(
        int(job.return_value) for job in Job.objects.filter(return_value__in=["3", "7", "13"])
    ) == [3, 7, 13]


def test_a_part_of_a_chord_stays(broker: FilledBroker, run: Run) -> None:
    broker.app.conf.result_backend = "cache+memory://"
    add = signature(f"{PATH}.add", (1, 2), app=broker.app).set(queue=broker.queue)
    body = signature(f"{PATH}.same", app=broker.app).set(queue=broker.queue)
    chord([add, add.clone()], body, app=broker.app).apply_async()

    reasons = left(run("--write"))

    assert any("the header of a chord" in reason for reason in reasons)
    assert Job.objects.filter(task_path=f"{PATH}.add").count() == 0


def test_a_message_of_protocol_1_is_carried(broker: FilledBroker, run: Run) -> None:
    broker.app.conf.task_protocol = 1
    task_id = broker.send("add", 1, 2)

    run("--write")

    run_jobs()
    assert AsyncResult(task_id).get() == 3


def test_a_compressed_message_is_carried(broker: FilledBroker, run: Run) -> None:
    task_id = broker.send("add", 1, 2, compression="zlib")

    run("--write")

    run_jobs()
    assert AsyncResult(task_id).get() == 3


def test_a_full_queue_leaves_messages(broker: FilledBroker, run: Run, settings) -> None:
    options = {**settings.TASKS["default"]["OPTIONS"]}
    options["queue_limits"] = {broker.queue: {"max_queued": 1}}
    settings.TASKS = {"default": {**settings.TASKS["default"], "OPTIONS": options}}
    for _ in range(3):
        broker.send("add", 1, 2)

    report = run("--write")

    assert any("QueueFull" in reason for reason in left(report))
    assert Job.objects.count() + broker.waiting() == 3


def test_a_queue_with_consumers_is_left_on_rabbitmq(rabbitmq: FilledBroker, run: Run) -> None:
    rabbitmq.send("add", 1, 2)
    with rabbitmq.connection() as connection:
        channel = connection.default_channel
        channel.basic_qos(0, 1, False)
        channel.basic_consume(rabbitmq.queue, callback=lambda _message: None)

        report = run("--write")

    [reason] = left(report)
    assert reason.startswith("1 of Celery's workers take messages from it")
    assert Job.objects.count() == 0


def test_a_broker_that_does_not_answer_is_named_without_its_password(run: Run, settings) -> None:
    settings.CELERY_BROKER_URL = "redis://:secret@127.0.0.1:9/0"

    report = run("--write")

    [text] = left(report)
    assert text.startswith("The broker redis://:***@127.0.0.1:9/0 does not answer:")
    assert report["code"] == 1


def test_another_broker_is_named(run: Run, settings) -> None:
    settings.CELERY_BROKER_URL = "sqs://"

    [text] = left(run())

    assert "neither Redis nor RabbitMQ" in text


def test_delayed_messages_of_quorum_queues_are_named_and_carried_on_request(
    rabbitmq: FilledBroker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offload.from_celery.rabbitmq.DELAYED", f"{rabbitmq.run}delayed_")
    names = [f"{rabbitmq.run}delayed_{level}" for level in range(3)]
    task_id = rabbitmq.send("add", 1, 2, eta=timezone.now() + timedelta(seconds=3))
    rabbitmq.delay(names, bits="0" * 26 + "11")

    [item] = messages(run("--write"))
    assert f"--queues {names[1]}" in item["by_hand"]
    run("--write", "--queues", names[1])

    job = Job.objects.get()
    assert (str(job.pk), job.queue_name) == (task_id, rabbitmq.queue)


def test_a_queue_that_is_named_and_empty_is_shown(broker: FilledBroker, run: Run) -> None:
    [item] = messages(run("--queues", f"{broker.run}empty"))

    assert item["becomes"] == "nothing: there is none in a queue of this name"


def test_further_queues_of_redis_are_named(redis: FilledBroker, run: Run) -> None:
    redis.send("add", 1, 2, queue=f"{redis.run}forgotten")

    [item] = messages(run())

    assert item["name"] == f"{redis.run}forgotten: 1 message"
    assert f"--queues {redis.run}forgotten" in item["by_hand"]


def test_held_messages_of_redis_are_named_and_carried_on_request(
    redis: FilledBroker, run: Run
) -> None:
    task_id = redis.send("add", 1, 2)
    hold(redis)

    report = run("--write")
    [reason] = left(report)
    assert "pass --held" in reason
    assert Job.objects.count() == 0

    report = run("--write", "--held")

    assert report["code"] == 0
    assert str(Job.objects.get().pk) == task_id
    assert messages(run("--write", "--held")) == []


def hold(redis: FilledBroker) -> None:
    """Take a message as a worker does that is killed before it has acknowledged it."""
    with redis.connection() as connection:
        channel = connection.channel()
        assert channel.basic_get(redis.queue, no_ack=False) is not None
        channel.qos._delivered.clear()  # what its end would put back


@pytest.mark.parametrize("page", [1, 2, 500])
def test_long_queues_are_read_in_pages(redis: FilledBroker, run: Run, monkeypatch, page) -> None:
    from offload.from_celery import redis_queues  # noqa: PLC0415

    monkeypatch.setattr(redis_queues, "PAGE", page)
    for number in range(7):
        redis.send("add" if number % 2 else "shop.tasks.gone", 1, 2)

    report = run("--write")

    [ids] = left(report).values()
    assert (Job.objects.count(), redis.waiting(), len(ids)) == (3, 4, 4)
