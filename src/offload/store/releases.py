"""What becomes of the jobs that wait for parts of a workflow which have ended. Knows no database.

A part that has ended is told once: to the jobs that wait for it, and to its workflow, which counts
it. A job that can no longer run ends here too; those behind it are told in the same step if their
dependencies were read, and else by a notice.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from offload.lifecycle import JobState, RunWhen

FAILURES = frozenset({JobState.FAILED, JobState.EXPIRED})
"""States of a part that lets those run that are to run when it has failed."""


class EndedPart(NamedTuple):
    """A part of a workflow that has ended, whose end was not told yet to all jobs that wait.

    Attributes:
        id: of its job.
        workflow: whose part it is.
        state: in which it has ended.
        told_up_to: the last of the jobs that wait for it that was told; empty if none was.
        is_told_last: whether the jobs that are told now are the last ones.
    """

    id: str
    workflow: str
    state: int
    told_up_to: str = ""
    is_told_last: bool = True


class BlockedJob(NamedTuple):
    """A job in the state BLOCKED, locked by this transaction: a part, or a workflow.

    Attributes:
        id: of the job.
        workflow: of which it is a part; None for a workflow.
        run_when: a `RunWhen`; None for a workflow.
        waiting_on: how many jobs that it waits for have not ended.
        is_due: whether it could run now if it waited for none.
        limit_key: the key of its limit.
        is_cancelled: whether its cancellation was requested.
    """

    id: str
    workflow: str | None
    run_when: int | None
    waiting_on: int
    is_due: bool
    limit_key: str | None
    is_cancelled: bool


class Change(NamedTuple):
    """What is written to a blocked job.

    Attributes:
        state: its new state.
        ended: how many of the jobs that it waits for have ended.
        run_when: its new `RunWhen`; None for a workflow.
    """

    state: int
    ended: int
    run_when: int | None


class Release(NamedTuple):
    """What a transaction writes.

    Attributes:
        changes: the jobs to which each change is written.
        untold: jobs that end, and are told by a notice.
        limit_keys: of the jobs that now wait for their limit.
        is_work: whether jobs can run now, or at a later time.
        ended_workflows: those whose parts have all ended.
    """

    changes: dict[Change, list[str]]
    untold: list[str]
    limit_keys: set[str]
    is_work: bool
    ended_workflows: list[str]


type Dependents = Mapping[str, Mapping[str, bool]]


def release(
    ended: Iterable[EndedPart],
    dependents: Dependents,
    blocked: Mapping[str, BlockedJob],
) -> Release:
    """Decide what becomes of blocked jobs.

    Args:
        ended: the parts that have ended.
        dependents: the jobs that wait for each part, also for parts that end only here, and
            whether they do because it was added by a part that they wait for.
        blocked: the jobs that may change, and the workflows of all parts.
    """
    step = _Step(dependents, blocked)
    step.tell_all(ended)
    return step.result()


class _Step:
    def __init__(self, dependents: Dependents, blocked: Mapping[str, BlockedJob]) -> None:
        self._dependents = dependents
        self._blocked = blocked
        self._ends: defaultdict[str, list[int]] = defaultdict(list)
        """The states of the parts that have ended, by the job that waits for them."""
        self._hopeless: dict[str, JobState] = {}
        """The states of the jobs that can no longer run."""
        self._counts: Counter[str] = Counter()
        """How many parts were told, by workflow."""
        self._untold: list[str] = []

    def tell_all(self, ended: Iterable[EndedPart]) -> None:
        """Tell parts to those that wait for them, and so on behind those that cannot run."""
        # Those that failed first: what waits for one of them is not skipped, but cancelled.
        queue = deque(sorted(ended, key=lambda part: part.state == JobState.SKIPPED))
        while queue:
            part = queue.popleft()
            if part.is_told_last:
                self._counts[part.workflow] += 1
            for child, is_implied in self._dependents.get(part.id, {}).items():
                job = self._blocked.get(child)
                if job is None or job.workflow is None:
                    continue
                self._ends[child].append(part.state)
                state = _state_without_hope(job, part.state, is_implied=is_implied)
                if state is None or child in self._hopeless:
                    continue
                self._hopeless[child] = state
                if child in self._dependents:
                    queue.append(EndedPart(child, job.workflow, int(state)))
                else:
                    self._untold.append(child)

    def result(self) -> Release:
        """Return what to write."""
        changes: defaultdict[Change, list[str]] = defaultdict(list)
        limit_keys, is_work = set(), False
        for child, states in self._ends.items():
            job = self._blocked[child]
            change = self._change(job, states)
            changes[change].append(child)
            if change.state == JobState.LIMITED and job.limit_key is not None:
                limit_keys.add(job.limit_key)
            is_work = is_work or change.state in {JobState.READY, JobState.SCHEDULED}
            if child not in self._hopeless and JobState(change.state).is_finished:
                self._untold.append(child)
        ended_workflows = []
        for workflow, count in self._counts.items():
            job_or_none = self._blocked.get(workflow)
            if job_or_none is not None:
                ended = min(count, job_or_none.waiting_on)
                changes[Change(int(JobState.BLOCKED), ended, None)].append(workflow)
                if job_or_none.waiting_on <= count:
                    ended_workflows.append(workflow)
        return Release(dict(changes), self._untold, limit_keys, is_work, ended_workflows)

    def _change(self, job: BlockedJob, states: Collection[int]) -> Change:
        run_when, ended = job.run_when, min(len(states), job.waiting_on)
        if run_when == RunWhen.FAILED and not FAILURES.isdisjoint(states):
            run_when = RunWhen.ONE_FAILED
        state = JobState.BLOCKED
        if job.id in self._hopeless:
            state = self._hopeless[job.id]
        elif job.waiting_on <= ended:
            state = self._state_of_released(job, run_when)
        return Change(int(state), ended, None if run_when is None else int(run_when))

    def _state_of_released(self, job: BlockedJob, run_when: int | None) -> JobState:
        """Return the state of a job that waits for no other job any more."""
        workflow = self._blocked.get(job.workflow or "")
        if workflow is not None and workflow.is_cancelled:
            return JobState.CANCELLED
        if run_when == RunWhen.FAILED:
            return JobState.SKIPPED
        return waiting_state(job)


def _state_without_hope(job: BlockedJob, state: int, *, is_implied: bool) -> JobState | None:
    """Return the state of a job that can no longer run; None if it still can.

    Args:
        job: the job.
        state: that of a part that it waits for.
        is_implied: whether it does because another part has added that part.
    """
    if job.run_when != RunWhen.SUCCEEDED or state == JobState.SUCCESSFUL:
        return None
    if state == JobState.SKIPPED:
        return None if is_implied else JobState.SKIPPED
    return JobState.CANCELLED


def waiting_state(job: BlockedJob) -> JobState:
    """Return the state in which a job waits for nothing but a worker."""
    if not job.is_due:
        return JobState.SCHEDULED
    return JobState.READY if job.limit_key is None else JobState.LIMITED
