"""Hooks and signals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from offload.celery import signals
from offload.testing import run_jobs
from tests.celery import tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def events() -> list[Any]:
    tasks.events.clear()
    return tasks.events


@pytest.fixture
def seen() -> Iterator[list[Any]]:
    """What the receivers of all signals about tasks have seen."""
    names = ("received", "prerun", "postrun", "success", "failure", "retry", "revoked")
    connected = []
    seen: list[Any] = []
    for name in names:
        signal = getattr(signals, f"task_{name}")

        def receive(sender: Any, name: str = name, **named: Any) -> None:
            seen.append((name, sender.name, named))

        signal.connect(receive, weak=False)
        connected.append((signal, receive))
    yield seen
    for signal, receive in connected:
        signal.disconnect(receive)


def test_the_hooks_of_a_task_that_succeeds(events):
    result = tasks.recorded.delay("fine")
    run_jobs()

    assert events == [
        ("before_start", result.id, ["fine"]),
        ("on_success", "fine"),
        ("after_return", "SUCCESS"),
    ]


def test_the_hooks_of_a_task_that_fails(events):
    tasks.recorded.delay("fail")
    run_jobs()

    assert events[1:] == [("on_failure", "ValueError('no')", True), ("after_return", "FAILURE")]


def test_the_hooks_of_a_task_that_is_retried(events):
    tasks.recorded.delay("retry")
    run_jobs()

    assert [event[0] for event in events] == [
        "before_start", "on_retry", "before_start", "on_failure", "after_return",
    ]  # fmt: skip


def test_no_hook_follows_a_task_that_is_ignored(events):
    tasks.recorded.delay("ignore")
    run_jobs()

    assert [event[0] for event in events] == ["before_start"]


def test_no_hook_follows_a_task_that_is_put_back(events):
    tasks.recorded.delay("reject once")
    run_jobs()

    assert [event[0] for event in events] == [
        "before_start", "rejected", "before_start", "on_success", "after_return",
    ]  # fmt: skip


@pytest.mark.parametrize(("outcome", "hook"), [("fine", "on_success"), ("fail", "on_failure")])
def test_the_hooks_of_an_async_task(events, outcome, hook):
    tasks.recorded_async.delay(outcome)
    run_jobs()

    assert [event[0] for event in events] == ["before_start", hook, "after_return"]


def test_an_error_of_a_hook_does_not_change_the_outcome(monkeypatch, caplog):
    monkeypatch.setattr(type(tasks.recorded), "on_success", lambda *args: 1 / 0)
    result = tasks.recorded.delay("fine")
    run_jobs()

    assert result.state == "SUCCESS"
    assert "on_success() of the task tests.celery.tasks.recorded failed." in caplog.text


def test_the_signals_of_a_task_that_succeeds(seen):
    result = tasks.add.delay(1, 2)
    run_jobs()

    assert [name for name, _, _ in seen] == ["received", "prerun", "success", "postrun"]
    assert {sender for _, sender, _ in seen} == {"tests.celery.tasks.add"}
    postrun = seen[-1][2]
    assert (postrun["task_id"], postrun["retval"], postrun["state"]) == (result.id, 3, "SUCCESS")


def test_the_signals_of_a_task_that_fails(seen):
    tasks.fail.delay("no")
    run_jobs()

    assert [name for name, _, _ in seen] == ["received", "prerun", "failure", "postrun"]
    failure = seen[2][2]
    assert repr(failure["exception"]) == "ValueError('no')"
    assert "ValueError" in failure["einfo"].traceback
    assert failure["args"] == ["no"]


def test_the_signals_of_a_task_that_is_retried(seen):
    tasks.retry_until.delay(1)
    run_jobs()

    assert [name for name, _, _ in seen][:4] == ["received", "prerun", "retry", "postrun"]
    assert "OutOfStock" in str(seen[2][2]["reason"])


def test_a_receiver_may_be_for_one_task():
    seen = []

    @signals.task_prerun.connect(sender=tasks.double)
    def receive(task_id: str, task: Any, args: Any, kwargs: Any, **_: Any) -> None:
        seen.append(task.name)

    tasks.add.delay(1)
    tasks.double.delay(1)
    run_jobs()
    signals.task_prerun.disconnect(receive, sender=tasks.double)

    assert seen == ["double it"]
    assert not signals.task_prerun.receivers


def test_a_receiver_may_add_headers_before_the_task_is_enqueued():
    @signals.before_task_publish.connect
    def add_tenant(headers: Any, sender: str, **_: Any) -> None:
        headers["tenant"] = f"blue {sender}"

    result = tasks.about.delay()
    signals.before_task_publish.disconnect(add_tenant)
    run_jobs()

    assert result.get()["headers"] == {"tenant": "blue tests.celery.tasks.about"}


def test_a_receiver_learns_of_each_task_that_is_enqueued():
    seen = []

    @signals.after_task_publish.connect(sender="tests.celery.tasks.add")
    def receive(headers: Any, body: Any, routing_key: str, **_: Any) -> None:
        seen.append((headers["id"], body[0], routing_key))

    result = tasks.add.delay(1)
    signals.after_task_publish.disconnect(receive, sender="tests.celery.tasks.add")

    assert seen == [(result.id, (1,), "default")]


def test_an_error_of_a_receiver_is_logged(caplog):
    @signals.task_prerun.connect
    def receive(**_: Any) -> None:
        raise ZeroDivisionError

    result = tasks.add.delay(1)
    run_jobs()
    signals.task_prerun.disconnect(receive)

    assert result.get() == 1
    assert "of the signal task_prerun failed" in caplog.text


def test_a_receiver_that_is_gone_is_not_called():
    signal = signals.Signal("test")

    def connect() -> None:
        signal.connect(lambda **_: 1 / 0)

    connect()

    assert signal.send(None) == []
    assert signal.receivers == []
