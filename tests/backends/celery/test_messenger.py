"""Messages to Celery's broker."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from offload.backends.celery.application import RUN, application, broker_priority
from offload.backends.celery.messenger import BrokerOptions, CeleryMessenger, group_messages
from offload.backends.messages import JobMessage

memory = Celery("memory", broker="memory://", set_as_current=False)
closed = Celery("closed", broker="redis://127.0.0.1:9/0", set_as_current=False)
"""The port is reserved for a server that discards everything, and none listens on it."""


@pytest.fixture
def queue() -> Iterator[Any]:
    with memory.connection_for_write() as connection:
        queue = connection.SimpleQueue("x-default")
        queue.clear()
        yield queue
        queue.clear()


def messenger(name: str) -> CeleryMessenger:
    options = BrokerOptions(f"{__name__}.{name}", "x-", 15.0)
    return CeleryMessenger("default", options)


def messages(count: int, priority: int = 0) -> list[JobMessage]:
    return [JobMessage("default", False, priority, f"job{number}") for number in range(count)]


def received(queue: Any) -> list[Any]:
    found = []
    while queue.qsize():
        message = queue.get(block=False)
        assert message.headers["task"] == RUN
        found.append(message.payload[0])
        message.ack()
    return found


def test_few_jobs_have_a_message_each(queue) -> None:
    sender = messenger("memory")

    sender.send(messages(2))

    assert sender.flush(20)
    expected = [["default", "default", False, [job], False, False] for job in ("job0", "job1")]
    assert received(queue) == expected


def test_many_jobs_share_messages(queue) -> None:
    sender = messenger("memory")

    sender.send(messages(1000))

    assert sender.flush(20)
    found = received(queue)
    assert len(found) == 9
    ids = [pk for message in found for pk in message[3]]
    assert ids == [f"job{number}" for number in range(1000)]


@pytest.mark.parametrize(
    ("jobs", "expected"), [(1, 1), (100, 100), (300, 30), (1000, 9), (3000, 8), (100_000, 200)]
)
def test_messages_of_few_jobs_are_small(jobs, expected) -> None:
    assert len(list(group_messages(messages(jobs)))) == expected


def test_jobs_of_other_kinds_have_other_messages(queue) -> None:
    sender = messenger("memory")

    patient = JobMessage("default", False, 0, "patient", may_wait=True)
    sender.send([*messages(1), JobMessage("default", True, 0, "async"), patient])

    assert sender.flush(20)
    found = sorted((message[3], message[2], message[5]) for message in received(queue))
    assert found == [(["async"], True, False), (["job0"], False, False), (["patient"], False, True)]


def test_a_dead_broker_holds_up_nothing_and_is_counted(caplog) -> None:
    sender = messenger("closed")

    sender.send(messages(3))

    assert sender.flush(30)
    assert sender.failures == 1
    assert "does not accept messages" in caplog.text


def test_a_connection_that_the_broker_has_closed_loses_no_message(queue, monkeypatch) -> None:
    send_task, errors = memory.send_task, [ConnectionResetError("closed when idle")]

    def fail_once(*args: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return send_task(*args, **options)

    monkeypatch.setattr(memory, "send_task", fail_once)
    sender = messenger("memory")

    sender.send(messages(2))

    assert sender.flush(20)
    assert (len(received(queue)), sender.failures) == (2, 0)


def test_more_messages_than_are_kept_lose_only_the_rest(queue, monkeypatch) -> None:
    monkeypatch.setattr("offload.backends.celery.messenger.MAX_PENDING", 2)
    sender = messenger("memory")

    sender.send(messages(3))

    assert sender.flush(20)
    assert (len(received(queue)), sender.failures) == (2, 1)


def test_a_process_with_too_many_threads_sends_later_messages(queue, monkeypatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sender = messenger("memory")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        sender.send(messages(1))
    assert sender.flush(20)
    assert sender.failures == 1

    sender.send(messages(1))

    assert sender.flush(20)
    assert len(received(queue)) == 1


def test_a_broker_that_was_down_is_tried_once(monkeypatch) -> None:
    tries = []

    def fail(*_: Any, **__: Any) -> Any:
        tries.append(True)
        raise ConnectionRefusedError

    monkeypatch.setattr(memory, "send_task", fail)
    monkeypatch.setattr("offload.backends.celery.messenger.FAILURE_PAUSE", 0.0)
    sender = messenger("memory")

    for _ in range(2):
        sender.send(messages(1))
        assert sender.flush(30)

    assert len(tries) == 3


def test_a_copy_of_the_process_sends_its_own_messages(queue) -> None:
    sender = messenger("memory")
    sender.send(messages(1))
    assert sender.flush(20)

    pid = os.fork()
    if not pid:  # the thread of the parent is not here
        sender.send(messages(1))
        os._exit(0 if sender.flush(20) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_copy_of_the_process_has_a_connection_of_its_own(queue, monkeypatch) -> None:
    warm = messenger("memory")  # with its first message, Celery makes pools, which open nothing
    warm.send(messages(1))
    assert warm.flush(20)
    opened = []
    connect = memory.connection_for_write

    def note(*args: Any, **options: Any) -> Any:
        opened.append(os.getpid())
        return connect(*args, **options)

    monkeypatch.setattr(memory, "connection_for_write", note)
    sender = messenger("memory")
    for _ in range(2):
        sender.send(messages(1))
        assert sender.flush(20)
    assert opened == [os.getpid()]

    pid = os.fork()
    if not pid:
        sender.send(messages(1))
        os._exit(0 if sender.flush(20) and opened[1:] == [os.getpid()] else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(("priority", "level"), [(-100, 0), (0, 4), (100, 9)])
def test_priorities_are_those_of_the_broker(priority, level) -> None:
    assert broker_priority(priority, memory) == level
    assert broker_priority(priority, closed) == 9 - level


def test_the_application_of_the_package_is_found_by_celery() -> None:
    from celery.app.utils import find_app  # noqa: PLC0415

    assert find_app("offload.celery") is application
    assert application.conf.task_default_queue == "default"
