"""A drain as it is measured: a client, a worker and their marks, on SQLite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arena import drains
from arena.figures import Figures
from arena.lineup import LINEUP, Workers
from arena.stand import Stand

JOBS = 200


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand(next(each for each in LINEUP if each.name == "offload-sqlite"))
    try:
        stand.prepare()
        yield stand
    finally:
        stand.remove()
        assert not stand.folder.exists()


@pytest.fixture
def workers(stand) -> Workers:
    return next(each for each in stand.contender.workers if each.label == "embedded, 1 thread")


def test_all_jobs_of_a_drain_are_counted_and_saved(stand, workers):
    figures = Figures()
    drains.drain(stand, workers, "noop", JOBS, figures)
    marks = stand.marks.read()

    def figure(name: str) -> float | None:
        return figures.median(stand.contender.name, workers.label, name)

    assert len(marks) == JOBS
    assert all(sent < start for sent, start in marks)
    assert figure("noop unsaved") == 0
    assert figure("noop saved after") is not None
    span = (marks[-1][1] - marks[0][1]) / 1e9
    assert figure("noop") == (JOBS - 1) / span


@pytest.mark.parametrize("name", ["mixed", "amixed"])
def test_mixed_jobs_run_in_their_own_way(stand, workers, name):
    figures = Figures()
    drains.drain_mixed(stand, workers, name, 0.2, figures)

    jobs = 0.2 * (drains.MOST_MIXED if name == "amixed" else 1 / drains.MIXED_AVERAGE)
    assert len(stand.marks.read()) == int(jobs)
    assert figures.median(stand.contender.name, workers.label, f"{name} unsaved") == 0
    other = "mixed" if name == "amixed" else "amixed"
    assert figures.median(stand.contender.name, workers.label, other) is None
