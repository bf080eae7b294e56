"""What must be true when all is over, whatever happened on the way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from offload.lifecycle import TRANSITIONS, JobState
from offload.models import Attempt, Job
from tests.crash import ledger, tasks
from tests.models import Effect, Transition

FAILING = {tasks.fail.module_path}


@dataclass
class Verdict:
    """What went wrong, one line each; every list must be empty."""

    jobs: int = 0
    lost: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [
            f"{name}: {line}"
            for name in ("lost", "stale", "doubled", "unexplained")
            for line in getattr(self, name)
        ]


def judge(accepted: Mapping[str, str], path: Path, *, may_fail: set[str] = frozenset()) -> Verdict:  # type: ignore[assignment]
    """Return the verdict over the jobs that were accepted.

    Args:
        accepted: the jobs' tokens and ids.
        path: the ledger.
        may_fail: tokens of jobs that may have failed because of what the test did to them.
    """
    verdict = Verdict(jobs=len(accepted))
    jobs = {str(job.pk): job for job in Job.objects.filter(pk__in=accepted.values())}
    begun = ledger.by_token(path, "begin")
    effects = Counter(Effect.objects.values_list("token", flat=True))
    history: dict[UUID, list[Transition]] = defaultdict(list)
    for change in Transition.objects.order_by("pk"):
        history[change.job_id].append(change)
    attempts = Counter(Attempt.objects.values_list("job_id", flat=True))
    for token, identifier in accepted.items():
        job = jobs.get(identifier)
        if job is None:
            verdict.lost.append(f"{token} has no row")
            continue
        what = f"{token} ({job.task_path}, {JobState(job.state).label})"
        runs = begun.get(token, [])
        _check_end(verdict, what, job, may_fail=token in may_fail)
        _check_result(verdict, what, job, runs)
        _check_history(verdict, what, history[job.pk])
        _check_bodies(verdict, what, job, runs, attempts[job.pk])
        expected = int(job.task_path in ATOMIC and job.state == JobState.SUCCESSFUL)
        if effects[token] != expected:
            verdict.doubled.append(f"{what} has {effects[token]} effects, not {expected}")
    return verdict


ATOMIC = {tasks.effect.module_path, tasks.effect_wait_for.module_path}


def _check_end(verdict: Verdict, what: str, job: Job, *, may_fail: bool) -> None:
    state = JobState(job.state)
    was_lost_as_promised = job.max_worker_losses == 0 and job.worker_losses == 1  # at_most_once
    if (may_fail or was_lost_as_promised) and state == JobState.FAILED:
        return
    expected = JobState.FAILED if job.task_path in FAILING else JobState.SUCCESSFUL
    if state != expected:
        why = list(Attempt.objects.filter(job_id=job.pk).values_list("message", flat=True))
        verdict.lost.append(f"{what} did not end {expected.label} {why}")


def _check_result(verdict: Verdict, what: str, job: Job, runs: list[ledger.Entry]) -> None:
    """The stored value was returned by a body that ran under the engine that held the job last."""
    if job.state != JobState.SUCCESSFUL:
        return
    stored = (job.return_value or "").strip('"')
    found = [run for run in runs if run.value == stored]
    if not found:
        verdict.stale.append(f"{what} has a result that no run returned: {stored}")
    elif UUID(found[0].worker) != job.worker:
        verdict.stale.append(f"{what} has the result of a run that had lost the job")


def _check_history(verdict: Verdict, what: str, history: list[Transition]) -> None:
    """Every change is one that may be, runs only grow, and the job ended once."""
    ends = 0
    run = 0
    for change in history:
        old, new = JobState(change.old_state), JobState(change.new_state)
        if new not in TRANSITIONS[old]:
            verdict.stale.append(f"{what} went from {old.label} to {new.label}")
        if change.old_run != run or change.new_run != run + (new == JobState.RUNNING):
            verdict.stale.append(f"{what} had run {change.old_run}, then {change.new_run}")
        run = change.new_run
        ends += new.is_finished
    if ends > 1:
        verdict.stale.append(f"{what} ended {ends} times")


def _check_bodies(
    verdict: Verdict, what: str, job: Job, runs: list[ledger.Entry], attempts: int
) -> None:
    """A body runs once per claim at most, and again only if an attempt is known to have failed.

    Claims that were handed back have no row of an attempt, and their bodies either did not
    begin or were ended by us.
    """
    if len(runs) > job.fence:
        verdict.unexplained.append(f"{what} ran {len(runs)} times in {job.fence} claims")
    handed_back = job.fence - job.attempt - job.worker_losses
    if len(runs) > 1 and attempts == 0 and handed_back <= 0:
        verdict.unexplained.append(f"{what} ran {len(runs)} times without a cause")
    if job.max_worker_losses == 0 and len(runs) > 1:
        verdict.unexplained.append(f"{what} may run once and ran {len(runs)} times")
