"""What is called where jobs run, before the first one."""

from __future__ import annotations

import pytest

from offload.process_starts import announce_start, call_at_start
from tests.tasks import on_process_start
from tests.worker import event_log
from tests.worker.conftest import StartWorker, until


def starts() -> list[tuple[str, ...]]:
    return [entry.words for entry in event_log.entries("process-start")]


def test_each_child_calls_it_and_the_first_one_knows_that_it_is(start_worker: StartWorker):
    before = len(starts())
    start_worker(2)

    until(lambda: len(starts()) == before + 2)
    assert sorted(starts()[before:]) == [("False",), ("True",)]


def test_a_worker_without_children_calls_it(start_worker: StartWorker):
    before = len(starts())
    start_worker(0)

    until(lambda: len(starts()) == before + 1)
    assert starts()[-1] == ("True",)


def test_an_error_is_logged_and_the_process_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("offload.process_starts._functions", [])

    @call_at_start
    def fail(is_first: bool) -> None:
        raise ZeroDivisionError

    call_at_start(on_process_start)
    announce_start(is_first=False)

    assert "failed at the start of a process" in caplog.text
