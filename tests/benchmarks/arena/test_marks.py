"""What jobs write when they start, and what is read of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arena.marks import MARK, Marks
from contenders import bodies

SECOND = 10**9


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Marks]:
    marks = Marks(tmp_path / "marks")
    monkeypatch.setenv("BENCH_MARKS", str(marks.path))
    yield marks
    while bodies._file:
        os.close(bodies._file.pop())


def started(marks: Marks, starts: Iterable[float]) -> None:
    """Note jobs that were sent at 0, and started after so many seconds."""
    marks.path.write_bytes(b"".join(MARK.pack(0, int(start * SECOND)) for start in starts))


def test_no_mark_is_lost_when_jobs_start_at_once(marks):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bodies.mark, range(1000)))

    assert marks.count() == 1000
    assert sorted(sent for sent, _ in marks.read()) == list(range(1000))


def test_marks_that_were_cleared_are_not_counted(marks):
    bodies.mark(1)
    marks.clear()
    bodies.mark(2)

    assert [sent for sent, _ in marks.read()] == [2]


def test_the_first_start_begins_the_clock(marks):
    started(marks, [5, 2, 3, 4])

    assert marks.rate() == 1.0


def test_a_long_run_gets_a_second_to_warm_up(marks):
    slow = [number / 2 for number in range(3)]
    started(marks, [*slow, *(1 + number / 10 for number in range(1, 51))])

    assert marks.rate() == 10.0


def test_a_delay_is_from_the_call_to_the_start_of_the_same_job(marks):
    marks.path.write_bytes(MARK.pack(SECOND, 3 * SECOND) + MARK.pack(0, SECOND // 2))

    assert marks.delays() == [2.0, 0.5]
