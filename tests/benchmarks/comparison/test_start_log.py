"""The log of started jobs: writing, counting and rates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from comparison.start_log import RECORD, StartLog
from contenders import job_bodies

SECOND = 10**9


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartLog]:
    starts = StartLog(tmp_path / "starts")
    monkeypatch.setenv("BENCH_START_LOG", str(starts.path))
    yield starts
    while job_bodies._file:
        os.close(job_bodies._file.pop())


def write(starts: StartLog, seconds: Iterable[float]) -> None:
    """Write records of jobs that were sent at 0 and started after these seconds."""
    starts.path.write_bytes(b"".join(RECORD.pack(0, int(second * SECOND)) for second in seconds))


def test_no_record_is_lost_when_jobs_start_at_once(starts):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(job_bodies.record_start, range(1000)))

    assert starts.count() == 1000
    assert sorted(sent for sent, _ in starts.read()) == list(range(1000))


def test_cleared_records_are_not_counted(starts):
    job_bodies.record_start(1)
    starts.clear()
    job_bodies.record_start(2)

    assert [sent for sent, _ in starts.read()] == [2]


def test_the_clock_starts_with_the_first_job(starts):
    write(starts, [5, 2, 3, 4])

    assert starts.rate() == 1.0


def test_a_long_run_gets_a_second_to_warm_up(starts):
    slow = [number / 2 for number in range(3)]
    write(starts, [*slow, *(1 + number / 10 for number in range(1, 51))])

    assert starts.rate() == 10.0


def test_a_delay_is_from_the_call_to_the_start_of_the_same_job(starts):
    starts.path.write_bytes(RECORD.pack(SECOND, 3 * SECOND) + RECORD.pack(0, SECOND // 2))

    assert starts.delays() == [2.0, 0.5]
