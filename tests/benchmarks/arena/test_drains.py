"""A drain as it is measured: a client, a worker and their marks, on SQLite."""

from __future__ import annotations

from arena import drains
from arena.figures import Figures
from arena.lineup import LINEUP
from arena.stand import Stand

JOBS = 200


def test_all_jobs_of_a_drain_are_counted_and_saved():
    contender = next(each for each in LINEUP if each.name == "offload-sqlite")
    workers = next(each for each in contender.workers if each.label == "embedded, 1 thread")
    figures = Figures()
    stand = Stand(contender)
    try:
        stand.prepare()
        drains.drain(stand, workers, "noop", JOBS, figures)
        marks = stand.marks.read()
    finally:
        stand.remove()

    def figure(name: str) -> float | None:
        return figures.median(contender.name, workers.label, name)

    assert len(marks) == JOBS
    assert all(sent < start for sent, start in marks)
    assert figure("noop unsaved") == 0
    assert figure("noop saved after") is not None
    span = (marks[-1][1] - marks[0][1]) / 1e9
    assert figure("noop") == (JOBS - 1) / span
    assert not stand.folder.exists()
