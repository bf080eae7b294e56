"""The ends of parts of workflows: told to the jobs that wait for them, and to their workflows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.models import Job
from offload.store.records import ClaimedJob, EndedJob
from offload.store.releases import (
    BlockedJob,
    Change,
    Dependents,
    EndedPart,
    Release,
    release,
)
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.store.statements import statement
from offload.store.workflow_ends import WorkflowEnds
from offload.timestamps import now_microseconds

MAX_TOLD = MAX_ROWS_PER_STATEMENT
"""How many jobs one transaction tells at most of the ends of parts for which they wait."""


class Told(NamedTuple):
    """What became of the jobs that wait for parts.

    Attributes:
        is_work: whether jobs can run now, or at a later time.
        ended: those that have ended too.
    """

    is_work: bool = False
    ended: Sequence[EndedJob] = ()


class PartEnds(WorkflowEnds):
    """Tells the ends of parts.

    The rows of all jobs that may change are locked by one statement, in the order of their ids, so
    that two transactions never wait for each other.
    """

    def tell(self, ended: Sequence[EndedPart], worker: str) -> Told:
        """Release the jobs that wait for parts which this transaction has ended.

        Args:
            ended: the parts, each of which is told once.
            worker: the worker that ends workflows, as `key` returns it.
        """
        if not ended:
            return Told()
        parts = [part.id for part in ended]
        failed = [part.id for part in ended if part.state != JobState.SUCCESSFUL]
        if failed:
            parts += self._find_hopeless(failed)
        dependents = self._read_dependents(parts)
        return self.tell_dependents(self._tell_some(ended, dependents), dependents, worker)

    def _tell_some(
        self, ended: Sequence[EndedPart], dependents: dict[str, dict[str, bool]]
    ) -> list[EndedPart]:
        """Leave the ends of parts for which very many jobs wait to the next steps, by notices.

        Each step locks some of these jobs only. The workflow counts a part when all of them were
        told, and so cannot end before.

        Args:
            ended: the parts.
            dependents: the jobs that wait for each part; those that are told later are removed.
        """
        room = MAX_TOLD
        told: list[EndedPart] = []
        told_up_to: dict[str, str] = {}
        behind = dependents.keys() - {part.id for part in ended}
        for part in ended:
            children = dependents[part.id]
            left = sorted(child for child in children if child > part.told_up_to)
            chosen = left[:room]
            room -= len(chosen)
            dependents[part.id] = {child: children[child] for child in chosen}
            is_last = len(chosen) == len(left)
            if not is_last:
                told_up_to[part.id] = chosen[-1] if chosen else part.told_up_to
            told.append(part._replace(is_told_last=is_last))
        room = MAX_TOLD
        for hopeless in sorted(behind):
            room -= len(dependents[hopeless])
            if room < 0:
                del dependents[hopeless]  # it is told by a notice
        self.add_workflow_notices(list(told_up_to), told_up_to)
        return told

    def tell_dependents(
        self, ended: Sequence[EndedPart], dependents: Dependents, worker: str
    ) -> Told:
        """Do what `tell` does.

        Args:
            ended: the parts, each of which is told once.
            dependents: the jobs that wait for each part, as `release` takes them.
            worker: the worker that ends workflows, as `key` returns it.
        """
        waiting = {child for children in dependents.values() for child in children}
        blocked = self._lock_blocked(sorted(waiting | {part.workflow for part in ended}))
        failpoint("workflows.locked")
        result = release(ended, dependents, blocked)
        self._write_release(result)
        workflows = self.end_workflows(result.ended_workflows, worker)
        return Told(result.is_work, [*_ended_in(result), *workflows])

    def notice_deleted(self, parts: Sequence[ClaimedJob]) -> None:
        """Let a worker look at the workflows of parts whose rows were deleted while they ran."""
        if not parts:
            return
        ids = [UUID(job.id) for job in parts]
        rows = Job.objects.using(self.using).filter(pk__in=ids)
        existing = {self.key(pk) for pk in rows.values_list("pk", flat=True)}
        deleted = [job for job in parts if job.id not in existing]
        self.add_workflow_notices(sorted({job.workflow for job in deleted if job.workflow}))

    def _write_release(self, result: Release) -> None:
        for change, jobs in result.changes.items():
            self._settle(change, jobs)
        failpoint("workflows.released")
        self.add_workflow_notices(result.untold)
        self.add_notices(dict.fromkeys(result.limit_keys))

    def _find_hopeless(self, failed: Sequence[str]) -> list[str]:
        """Return parts that cannot run because others failed, and those behind them: not all."""
        parameters = {"ids": self._list(failed), "limit": MAX_ROWS_PER_STATEMENT}
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "hopeless"), parameters)
            return [self.key(part) for (part,) in cursor.fetchall()]

    def _read_dependents(self, parts: Sequence[str]) -> dict[str, dict[str, bool]]:
        """Return the jobs that wait for each part, and whether only as another part has added it.

        The dependencies of a job on a part, one for each slot, are all implied or none is.
        """
        dependents: dict[str, dict[str, bool]] = {part: {} for part in parts}
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "dependents"), {"ids": self._list(parts)})
            for parent, child, is_implied in cursor.fetchall():
                dependents[self.key(parent)][self.key(child)] = bool(is_implied)
        return dependents

    def _lock_blocked(self, jobs: Sequence[str]) -> dict[str, BlockedJob]:
        """Lock the jobs that are BLOCKED, in the order of their ids; return them."""
        parameters: dict[str, Any] = {"ids": self._list(jobs), "now": now_microseconds()}
        blocked: dict[str, BlockedJob] = {}
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "lock_blocked"), parameters)
            for job, workflow, run_when, waiting_on, is_due, *columns in cursor.fetchall():
                limit_key, is_cancelled = columns
                key = self.key(job)
                blocked[key] = BlockedJob(
                    key,
                    None if workflow is None else self.key(workflow),
                    run_when,
                    waiting_on,
                    bool(is_due),
                    limit_key,
                    bool(is_cancelled),
                )
        return blocked

    def _settle(self, change: Change, jobs: Collection[str]) -> None:
        parameters: dict[str, Any] = {
            **change._asdict(),
            "ids": self._list(sorted(jobs)),
            "now": now_microseconds(),
        }
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "settle"), parameters)


def _ended_in(result: Release) -> list[EndedJob]:
    """Return the parts that end because others have ended."""
    return [
        EndedJob(job, change.state)
        for change, jobs in result.changes.items()
        if JobState(change.state).is_finished
        for job in jobs
    ]
