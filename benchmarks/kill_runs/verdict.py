"""What a ledger says about a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from kill_runs.ledger import Entry

UNWRITTEN_SECONDS = 2.0
"""An attempt that ended so shortly before its process was killed may run again because of that: its
outcome was not written, or its message not acknowledged."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many jobs of a run had which fate.

    Attributes:
        sent: accepted by the call that enqueues; the others follow from these.
        refused: the call raised an error.
        kills: of processes that run jobs.
        missing: jobs that never ended: lost, or stuck.
        repeats_by_kills: attempts after one that a kill interrupted.
        other_repeats: all other attempts but the first.
    """

    sent: int
    refused: int
    kills: int
    missing: int
    repeats_by_kills: int
    other_repeats: int


def judge(entries: Iterable[Entry]) -> Verdict:
    """Count the fates of jobs."""
    of_jobs: defaultdict[int, list[Entry]] = defaultdict(list)
    killed_at: dict[int, float] = {}
    for entry in entries:
        if entry.event == "kill":
            killed_at[entry.pid] = entry.at
        else:
            of_jobs[entry.job].append(entry)
    sent = {job: all_ for job, all_ in of_jobs.items() if any(e.event == "sent" for e in all_)}
    by_kills = others = 0
    for all_ in sent.values():
        repeats = max(0, sum(entry.event == "start" for entry in all_) - 1)
        excused = min(repeats, _count_interrupted(all_, killed_at))
        by_kills += excused
        others += repeats - excused
    return Verdict(
        sent=len(sent),
        refused=sum(entry.event == "refused" for all_ in of_jobs.values() for entry in all_),
        kills=len(killed_at),
        missing=sum(all(entry.event != "end" for entry in all_) for all_ in sent.values()),
        repeats_by_kills=by_kills,
        other_repeats=others,
    )


def _count_interrupted(entries: Iterable[Entry], killed_at: dict[int, float]) -> int:
    """Return how many attempts of a job a kill has interrupted."""
    open_attempts: set[int] = set()
    interrupted = 0
    for entry in entries:
        if entry.event == "start":
            open_attempts.add(entry.pid)
        elif entry.event == "end":
            open_attempts.discard(entry.pid)
            kill = killed_at.get(entry.pid)
            interrupted += kill is not None and kill - entry.at < UNWRITTEN_SECONDS
    return interrupted + sum(pid in killed_at for pid in open_attempts)
