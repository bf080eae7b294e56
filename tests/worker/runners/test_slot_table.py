"""What the engine reads of a child that is dead: which of its jobs had begun."""

from __future__ import annotations

import tempfile

from offload.worker.runners.slot_table import SlotTable


def test_a_job_has_begun_in_whatever_order_threads_write() -> None:
    """One thread takes job 5, another one job 6; the second is first to write."""
    marks = SlotTable(2)
    marks.begin(1, 6, 1.0, is_async=False)
    marks.begin(0, 5, 1.1, is_async=False)
    assert marks.has_started(6, is_async=False)
    marks.end(1)
    assert marks.has_started(6, is_async=False)
    assert not marks.has_started(7, is_async=False)


def test_threads_and_the_event_loop_begin_independently() -> None:
    marks = SlotTable(2)
    marks.begin(1, 6, 1.0, is_async=True)
    assert marks.has_started(5, is_async=True)
    assert not marks.has_started(5, is_async=False)


def test_another_process_sees_what_runs() -> None:
    with tempfile.TemporaryFile() as memory:
        ours, theirs = SlotTable(3, memory.fileno()), SlotTable(3, memory.fileno())
        theirs.begin(0, 1, 1.0, is_async=False)
        theirs.begin(2, 2, 2.0, is_async=True)
        assert list(ours.running()) == [(1, 1.0), (2, 2.0)]
        theirs.end(0)
        assert list(ours.running()) == [(2, 2.0)]
        assert not SlotTable(1).has_started(1, is_async=False)
