"""`app.control.inspect()`."""

from __future__ import annotations

import pytest

from offload.celery import current_app
from offload.models import Job
from tests.celery import tasks
from tests.management.factories import register_worker, start

pytestmark = pytest.mark.django_db

NAME = "offload@worker-1:42"


def test_it_tells_the_tasks_of_each_worker():
    running = tasks.add.apply_async((1, 2), task_id="mine")
    tasks.add.delay(3)
    worker = register_worker()
    start(running.job, worker)
    start(tasks.add.delay(4).job)  # of a worker that is gone

    inspect = current_app.control.inspect()
    active = inspect.active()
    assert list(active) == [NAME]
    [task] = active[NAME]
    assert (task["id"], task["name"], task["args"]) == ("mine", "tests.celery.tasks.add", [1, 2])
    assert (task["hostname"], task["delivery_info"]["routing_key"]) == (NAME, "default")
    assert inspect.reserved() == {NAME: []}


def test_it_tells_the_tasks_that_wait_for_their_time():
    later = tasks.add.apply_async((1,), countdown=200, priority=3)
    sooner = tasks.add.apply_async((2,), countdown=100)

    run_after = Job.objects.get(pk=sooner.id).run_after
    [entries] = current_app.control.inspect().scheduled().values()
    assert [entry["request"]["id"] for entry in entries] == [sooner.id, later.id]
    assert (entries[0]["eta"], entries[1]["priority"]) == (run_after.isoformat(), 3)


def test_it_tells_which_workers_run():
    register_worker()
    register_worker(lease=-1)

    control = current_app.control
    assert control.ping() == [{NAME: {"ok": "pong"}}]
    assert control.inspect([NAME]).ping() == {NAME: {"ok": "pong"}}
    stats = control.inspect().stats()[NAME]
    assert (stats["pid"], stats["pool"]) == (42, {"max-concurrency": 8, "threads": 4})


def test_the_answers_of_one_worker_have_no_names():
    worker = register_worker()
    start(tasks.add.apply_async((1,), task_id="mine").job, worker)
    later = tasks.add.apply_async((2,), countdown=100)

    one = current_app.control.inspect(NAME)
    assert (one.ping(), one.reserved(), one.stats()["pid"]) == ({"ok": "pong"}, [], 42)
    assert [task["id"] for task in one.active()] == ["mine"]
    assert [entry["request"]["id"] for entry in one.scheduled()] == [later.id]
    assert current_app.control.ping(NAME) == [{NAME: {"ok": "pong"}}]


def test_tasks_of_other_workers_do_not_fill_the_answer(monkeypatch):
    monkeypatch.setattr("offload.celery.app.inspect.MAX_TASKS", 1)
    start(tasks.add.delay(1).job)  # of a worker that is gone, and the first one
    running = tasks.add.delay(2)
    start(running.job, register_worker())

    [task] = current_app.control.inspect().active()[NAME]
    assert task["id"] == running.id


def test_the_number_of_queries_is_not_that_of_the_tasks(django_assert_max_num_queries):
    worker = register_worker()
    for number in range(5):
        start(tasks.add.delay(number).job, worker)
    Job.objects.update(fence=3, attempt=3)

    with django_assert_max_num_queries(2):
        tasks_of_worker = current_app.control.inspect().active()[NAME]
    assert [task["args"] for task in tasks_of_worker] == [[number] for number in range(5)]


def test_a_task_that_was_put_back_is_redelivered_here_too():
    start(tasks.add.delay(1).job, register_worker())
    Job.objects.update(fence=2)

    [task] = current_app.control.inspect().active()[NAME]
    assert task["delivery_info"]["redelivered"] is True


def test_without_workers_there_is_no_answer():
    inspect = current_app.control.inspect(["other"])
    register_worker()

    assert inspect.ping() is inspect.active() is inspect.reserved() is inspect.stats() is None
    assert current_app.control.inspect("other").active() is None
    assert current_app.control.ping(destination="other") == []


def test_what_no_row_tells_is_refused():
    with pytest.raises(AttributeError, match=r"app\.tasks has the tasks of this process"):
        current_app.control.inspect().registered()
    with pytest.raises(AttributeError, match="offload_queues"):
        current_app.control.rate_limit("x", "1/m")
