"""What a parent takes back from a child process that has not started it."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest

from offload.worker.fleet.held_ring import HeldRing
from offload.worker.fleet.unstarted_jobs import UnstartedJobs
from offload.worker.pools.waiting_jobs import VISIBLE_AFTER
from tests.tasks import add
from tests.worker.job_runs import claimed

linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux has /proc")


@linux
def test_jobs_that_have_not_started_are_taken_back() -> None:
    ring, jobs = HeldRing(), [claimed(add, number) for number in range(3)]
    ring.add(1, jobs)
    assert ring.start(1)

    unstarted = UnstartedJobs(os.getpid(), ring.descriptor)

    assert unstarted.take_back(0.0) == frozenset()
    assert unstarted.take_back(VISIBLE_AFTER) == {(UUID(job.id), job.fence) for job in jobs[1:]}
    assert not ring.start(2)


@linux
def test_the_file_of_a_process_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "database"
    path.write_bytes(bytes(200_000))
    with path.open("r+b") as file:
        unstarted = UnstartedJobs(os.getpid(), file.fileno())

        assert unstarted.take_back(0.0) == unstarted.take_back(60.0) == frozenset()

    assert path.read_bytes() == bytes(200_000)
