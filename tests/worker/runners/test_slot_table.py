"""The worker reads which jobs a dead child had started."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading

from offload.worker.runners.slot_table import SlotTable
from tests.waiting import wait_until


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
        assert own.running() == [(1, 1.0), (2, 2.0)]
        of_child.finish(0)
        assert own.running() == [(2, 2.0)]
        assert own.count_running(is_async=True) == 1
        assert own.count_running(is_async=False) == 0
        assert not SlotTable(1).has_started(1, is_async=False)


def test_a_job_that_was_taken_back_does_not_start() -> None:
    slots = SlotTable(2)
    slots.take_back(2, is_async=False)
    assert not slots.start(0, 2, 1.0, is_async=False)
    assert slots.running() == []
    assert slots.has_started(2, is_async=False)  # it was skipped, and will not start later
    assert slots.start(0, 3, 1.0, is_async=False)
    assert slots.start(1, 1, 1.0, is_async=True)


STARTING = """
import itertools, sys
from offload.worker.runners.slot_table import SlotTable
slots, started = SlotTable(1, int(sys.argv[1])), []
for number in itertools.count(1):
    if slots.start(0, number, 1.0, is_async=False):
        started.append(number)
    slots.finish(0)
    if slots.sent:
        break
print(*started)
"""


def test_no_job_is_both_started_and_taken_back_wherever_its_process_stands() -> None:
    """The process is stopped at random places, and each time its next jobs are taken back."""
    taken_back, pause = set[int](), threading.Event()
    with tempfile.TemporaryFile() as memory:
        slots = SlotTable(1, memory.fileno())
        process = subprocess.Popen(
            [sys.executable, "-c", STARTING, str(memory.fileno())],
            pass_fds=[memory.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: slots.latest(is_async=False), "the first job starts")
        for _ in range(50):
            through = slots.latest(is_async=False) + 500
            slots.take_back(through, is_async=False)
            process.send_signal(signal.SIGSTOP)
            pause.wait(0.002)  # less time than a worker waits
            taken_back.update(range(slots.latest(is_async=False) + 1, through + 1))
            process.send_signal(signal.SIGCONT)
            pause.wait(0.002)
        slots.count_sent()  # ends it
        started = {int(word) for word in process.communicate(timeout=60)[0].split()}
    assert len(taken_back) > 100
    assert len(started) > 100
    assert not started & taken_back
