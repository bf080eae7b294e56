"""The verdict: conditions that must hold once all jobs have finished, whatever crashed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from offload.lifecycle import TRANSITIONS, JobState
from offload.models import Attempt, Job
from tests.crash import execution_log, tasks
from tests.models import Effect, Transition

FAILING = {tasks.fail.module_path}


@dataclass
class Verdict:
    """The faults that were found, one line each. No list may contain any."""

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
    """Return the verdict on the accepted jobs.

    Args:
        accepted: ids of the jobs, by token.
        path: the execution log.
        may_fail: tokens of jobs that the test may have made fail.
    """
    verdict = Verdict(jobs=len(accepted))
    jobs = {str(job.pk): job for job in Job.objects.filter(pk__in=accepted.values())}
    started = execution_log.by_token(path, "start")
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
        label = f"{token} ({job.task_path}, {JobState(job.state).label})"
        runs = started.get(token, [])
        _check_state(verdict, label, job, may_fail=token in may_fail)
        _check_result(verdict, label, job, runs)
        _check_history(verdict, label, history[job.pk])
        _check_bodies(verdict, label, job, runs, attempts[job.pk])
        expected = 1 if job.task_path in ATOMIC and job.state == JobState.SUCCESSFUL else 0
        if effects[token] != expected:
            verdict.doubled.append(f"{label} has {effects[token]} effects, not {expected}")
    return verdict


ATOMIC = {tasks.effect.module_path, tasks.effect_wait_for.module_path}


def _check_state(verdict: Verdict, label: str, job: Job, *, may_fail: bool) -> None:
    state = JobState(job.state)
    was_lost_as_promised = job.max_worker_losses == 0 and job.worker_losses == 1  # at_most_once
    if (may_fail or was_lost_as_promised) and state == JobState.FAILED:
        return
    expected = JobState.FAILED if job.task_path in FAILING else JobState.SUCCESSFUL
    if state != expected:
        why = list(Attempt.objects.filter(job_id=job.pk).values_list("message", flat=True))
        verdict.lost.append(f"{label} is not {expected.label}: {why}")


def _check_result(verdict: Verdict, label: str, job: Job, runs: list[execution_log.Entry]) -> None:
    """Check that the worker that held the job last ran the body whose result is stored."""
    if job.state != JobState.SUCCESSFUL:
        return
    stored = (job.return_value or "").strip('"')
    found = [run for run in runs if run.value == stored]
    if not found:
        verdict.stale.append(f"{label} has a result that no execution returned: {stored}")
    elif UUID(found[0].worker) != job.worker:
        verdict.stale.append(f"{label} has the result of an execution that had lost its claim")


def _check_history(verdict: Verdict, label: str, history: list[Transition]) -> None:
    """Check that each transition is allowed, the fence only grows, and the job finished once."""
    finishes = 0
    fence = 0
    for change in history:
        old, new = JobState(change.old_state), JobState(change.new_state)
        if new not in TRANSITIONS[old]:
            verdict.stale.append(f"{label} went from {old.label} to {new.label}")
        expected = fence + 1 if new == JobState.RUNNING else fence
        if change.old_fence != fence or change.new_fence != expected:
            verdict.stale.append(f"{label} had fence {change.old_fence}, then {change.new_fence}")
        fence = change.new_fence
        if new.is_finished:
            finishes += 1
    if finishes > 1:
        verdict.stale.append(f"{label} finished {finishes} times")


def _check_bodies(
    verdict: Verdict, label: str, job: Job, runs: list[execution_log.Entry], attempts: int
) -> None:
    """Check that a body ran at most once per claim, and again only after a known failure.

    Released claims leave no attempt: their bodies either did not start or the worker stopped
    them.
    """
    if len(runs) > job.fence:
        verdict.unexplained.append(f"{label} ran {len(runs)} times in {job.fence} claims")
    released = job.fence - job.attempt - job.worker_losses
    if len(runs) > 1 and attempts == 0 and released <= 0:
        verdict.unexplained.append(f"{label} ran {len(runs)} times without a cause")
    if job.max_worker_losses == 0 and len(runs) > 1:
        verdict.unexplained.append(f"{label} may run once and ran {len(runs)} times")
