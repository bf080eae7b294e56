"""The worker reads which jobs a dead child had started."""

from __future__ import annotations

import tempfile

from offload.worker.runners.slot_table import SlotTable


def test_a_job_has_started_in_whatever_order_threads_write() -> None:
    """One thread takes job 5, another one job 6, and the second writes first."""
    slots = SlotTable(2)
    slots.start(1, 6, 1.0, is_async=False)
    slots.start(0, 5, 1.1, is_async=False)
    assert slots.has_started(6, is_async=False)
    slots.finish(1)
    assert slots.has_started(6, is_async=False)
    assert not slots.has_started(7, is_async=False)


def test_threads_and_the_event_loop_start_jobs_independently() -> None:
    slots = SlotTable(2)
    slots.start(1, 6, 1.0, is_async=True)
    assert slots.has_started(5, is_async=True)
    assert not slots.has_started(5, is_async=False)


def test_another_process_sees_what_runs() -> None:
    with tempfile.TemporaryFile() as memory:
        own, of_child = SlotTable(3, memory.fileno()), SlotTable(3, memory.fileno())
        of_child.start(0, 1, 1.0, is_async=False)
        of_child.start(2, 2, 2.0, is_async=True)
        assert list(own.running()) == [(1, 1.0), (2, 2.0)]
        of_child.finish(0)
        assert list(own.running()) == [(2, 2.0)]
        assert not SlotTable(1).has_started(1, is_async=False)
