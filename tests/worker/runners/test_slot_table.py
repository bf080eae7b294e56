"""What the engine reads of a child that is dead: which of its jobs had begun."""

from __future__ import annotations

import tempfile

from offload.worker.runners.slot_table import SlotTable


def test_a_job_has_begun_in_whatever_order_threads_write() -> None:
    """One thread takes job 5, another one job 6; the second is first to write."""
    slot_table = SlotTable(2)
    slot_table.start(1, 6, 1.0, is_async=False)
    slot_table.start(0, 5, 1.1, is_async=False)
    assert slot_table.has_started(6, is_async=False)
    slot_table.finish(1)
    assert slot_table.has_started(6, is_async=False)
    assert not slot_table.has_started(7, is_async=False)


def test_threads_and_the_event_loop_begin_independently() -> None:
    slot_table = SlotTable(2)
    slot_table.start(1, 6, 1.0, is_async=True)
    assert slot_table.has_started(5, is_async=True)
    assert not slot_table.has_started(5, is_async=False)


def test_another_process_sees_what_runs() -> None:
    with tempfile.TemporaryFile() as memory:
        ours, theirs = SlotTable(3, memory.fileno()), SlotTable(3, memory.fileno())
        theirs.start(0, 1, 1.0, is_async=False)
        theirs.start(2, 2, 2.0, is_async=True)
        assert list(ours.running()) == [(1, 1.0), (2, 2.0)]
        theirs.finish(0)
        assert list(ours.running()) == [(2, 2.0)]
        assert not SlotTable(1).has_started(1, is_async=False)
