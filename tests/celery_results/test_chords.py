"""Chords: which parts are counted, and when the body is called. No worker runs."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import ChordError
from django.db import OperationalError

from offload.celery_results.channel import Channel, callers_channel
from offload.celery_results.chords import Chords
from offload.models import CeleryGroup, CeleryPart
from tests.celery_apps import unsent
from tests.celery_results.reports import request_of

pytestmark = pytest.mark.django_db


class Header:
    """The header of a chord, of which a worker reports parts."""

    def __init__(self, size: int) -> None:
        self.id = str(uuid4())
        self.body = unsent.signature("shop.tasks.body", task_id=str(uuid4()), app=unsent)
        self.parts = [str(uuid4()) for _ in range(size)]
        unsent.backend.set_chord_size(self.id, size)

    def end(self, number: int, value: Any = None, state: str = "SUCCESS") -> None:
        request = request_of(
            self.parts[number], group=self.id, group_index=number, chord=dict(self.body)
        )
        unsent.backend.on_chord_part_return(request, state, value)


@pytest.fixture
def calls() -> Any:
    """The arguments of the calls of bodies, oldest first."""
    with unsent.connection_for_read() as broker:
        queue = broker.SimpleQueue("celery")

        def read() -> list[Any]:
            found = []
            while queue.qsize():
                message = queue.get()
                message.ack()
                found.append(message.payload[0])
            return found

        read()
        yield read


def test_the_body_gets_the_values_in_the_order_of_the_header(calls: Any) -> None:
    header = Header(3)
    for number in (2, 0, 1):
        assert calls() == []
        header.end(number, number * 10)
    assert calls() == [[[0, 10, 20]]]
    assert not CeleryPart.objects.exists()


def test_a_part_counts_once(calls: Any) -> None:
    header = Header(2)
    for _ in range(3):
        header.end(0, 1)
    assert calls() == []
    header.end(1, 2)
    assert calls() == [[[1, 2]]]
    for _ in range(2):
        header.end(1, 2)
    assert calls() == []


def test_the_body_is_called_if_the_process_of_the_last_part_dies(
    calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message is delivered again; that of another part does not call the body."""

    def die(*_arguments: Any) -> None:
        raise SystemExit

    header = Header(2)
    header.end(0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Chords, "_call_body", die)
        with pytest.raises(SystemExit):
            header.end(1, 2)
    header.end(0, 1)
    assert calls() == []
    header.end(1, 2)
    assert calls() == [[[1, 2]]]


def test_a_failed_part_fails_the_body(calls: Any) -> None:
    header = Header(2)
    header.end(0, ValueError("no"), "FAILURE")
    header.end(1, 2)
    assert calls() == []
    error = unsent.AsyncResult(header.body.id).result
    assert isinstance(error, ChordError)
    assert "ValueError('no')" in str(error)


def test_a_part_that_adds_another_is_waited_for_too(calls: Any) -> None:
    header = Header(2)
    header.end(0, 1)
    unsent.backend.add_to_chord(header.id, None)
    header.parts.append(str(uuid4()))
    header.end(1, 2)
    assert calls() == []
    header.end(2, 3)
    assert calls() == [[[1, 2, 3]]]


def test_the_result_of_a_part_is_stored_with_its_count(calls: Any) -> None:
    header = Header(2)
    for number in range(2):
        request = request_of(
            header.parts[number], group=header.id, group_index=number, chord=dict(header.body)
        )
        for _ in range(2):
            unsent.backend.mark_as_done(request.id, number, request)
        assert unsent.AsyncResult(request.id).get(timeout=1) == number
    assert calls() == [[[0, 1]]]


def test_the_result_of_a_part_is_stored_again_if_the_database_does_not_answer(
    calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = Header(1)
    request = request_of(header.parts[0], group=header.id, group_index=0, chord=dict(header.body))
    monkeypatch.setattr(unsent.backend, "always_retry", True)
    attempts: list[Any] = []

    class Failing(Channel):
        """Fails as a database that has gone, the first time."""

        add = write = None  # type: ignore[assignment]

        def call(self, operation: Any) -> Any:
            attempts.append(operation)
            if len(attempts) == 1:
                raise OperationalError("the server has gone")
            return callers_channel(self.using).call(operation)

    failing = Failing("default")
    monkeypatch.setattr(unsent.backend, "channel", lambda _request=None: failing)
    unsent.backend.mark_as_done(request.id, 5, request)
    assert unsent.AsyncResult(request.id).get(timeout=1) == 5
    assert calls() == [[[5]]]


def test_old_chords_are_deleted_unless_parts_still_run(calls: Any) -> None:
    ended, running = Header(1), Header(2)
    for header in (ended, running):
        header.end(0, 1)
    CeleryGroup.objects.update(changed_at=0)
    unsent.backend.cleanup()
    assert [str(group.pk) for group in CeleryGroup.objects.all()] == [running.id]
    calls()
    running.end(1, 2)
    assert calls() == [[[1, 2]]]


def test_parts_may_end_before_the_size_is_known(calls: Any) -> None:
    """Celery says it before it sends the last part."""
    header = Header(0)
    header.parts = [str(uuid4()), str(uuid4())]
    header.end(0, 1)
    unsent.backend.set_chord_size(header.id, 2)
    header.end(1, 2)
    assert calls() == [[[1, 2]]]
