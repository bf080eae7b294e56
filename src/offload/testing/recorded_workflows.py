"""Workflows of the backends for tests: what becomes of their jobs in memory."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from offload.backends.changes import send_finished
from offload.exceptions import JobCancelled, OffloadError
from offload.lifecycle import RETRYABLE, JobState, RunWhen
from offload.models import Attempt
from offload.serialization import decode, encode_result
from offload.store.part_results import ResultSource, ResultsReader, SlotSources
from offload.store.releases import FAILURES, BlockedJob, EndedPart, release
from offload.store.retry_plan import EndedState, plan_retry
from offload.store.workflow_ends import (
    MAX_NAMED_PARTS,
    MAX_RETURN_SIZE,
    PARTS_FAILED,
    UNSUCCESSFUL,
    describe_part,
    describe_parts,
)
from offload.store.workflow_records import (
    IMPLIED,
    JOINT_PATH,
    NewDependency,
    read_workflow,
    require_few_dependents,
)
from offload.timestamps import now_microseconds, to_datetime
from offload.uuid7 import new_id

if TYPE_CHECKING:
    from datetime import datetime

    from offload.results import OffloadResult


class PartJob(Protocol):
    """A job in memory, as its workflow knows it."""

    row: Any
    attempts: list[Attempt]
    workflow: RecordedWorkflow | None

    def result(self) -> OffloadResult[Any]:
        """Return the job's current result."""

    def start_again(self, *, is_blocked: bool = False) -> None:
        """Let the job wait as if it had never run, for a worker or for other jobs."""


class RecordedWorkflow:
    """A workflow in memory, whose jobs change as the store would change them.

    Args:
        whole: its own job.
        parts: its other jobs.
        dependencies: which of them wait for which.
    """

    def __init__(
        self,
        whole: PartJob,
        parts: Sequence[PartJob],
        dependencies: Sequence[NewDependency],
    ) -> None:
        self.whole = whole
        self.parts = {str(part.row.pk): part for part in parts}
        self._dependencies = list(dependencies)
        self._dependents: dict[str, dict[str, bool]] = {part: {} for part in self.parts}
        """The jobs that wait for each part, and whether only as another part has added it."""
        for dependency in dependencies:
            if dependency.slot >= 0:
                is_implied = dependency.position == IMPLIED
                self._dependents[dependency.parent][dependency.child] = is_implied
        for job in (whole, *parts):
            job.workflow = self
        if not parts:
            self._end()

    def tell(self, part: str, state: JobState) -> None:
        """Tell the jobs that wait for a part that it has ended."""
        whole = str(self.whole.row.pk)
        result = release([EndedPart(part, whole, int(state))], self._dependents, self._blocked())
        for change, jobs in result.changes.items():
            for job in jobs:
                row = self._row(job)
                row.state = JobState(change.state)
                row.waiting_on -= change.ended
                row.run_when = change.run_when
                row.version += 1
                if row.state.is_finished:
                    row.finished_at = _now()
                    send_finished(self.parts[job].result())
        for job in result.untold:
            self.tell(job, self._row(job).state)
        if result.ended_workflows:
            self._end()

    def add(
        self, adder: str, parts: Sequence[PartJob], dependencies: Sequence[NewDependency]
    ) -> None:
        """Add parts for which whatever waits for their adder waits too.

        Args:
            adder: the part that adds them.
            parts: their jobs.
            dependencies: which of them wait for which.

        Raises:
            JobCancelled: if the workflow is to be cancelled.
            InvalidWorkflow: if there would be too many dependencies.
        """
        if self.whole.row.cancel_requested_at is not None:
            raise JobCancelled("The workflow was cancelled before the job could add parts to it.")
        dependents = list(self._dependents[adder])
        require_few_dependents(len(dependents), len(parts))
        added = {str(part.row.pk): part for part in parts}
        self.parts |= added
        waiting = [key for key in dependents if self._row(key).state == JobState.BLOCKED]
        self._dependents |= {key: dict.fromkeys(dependents, True) for key in added}
        for dependency in dependencies:
            if dependency.slot >= 0:
                self._dependents[dependency.parent][dependency.child] = False
        self._dependencies += dependencies
        for job in parts:
            job.workflow = self
        for row in map(self._row, dependents):
            row.awaited += len(added)
        for row in (self.whole.row, *map(self._row, waiting)):
            row.waiting_on += len(added)
            row.version += 1
        self.whole.row.awaited += len(added)

    def cancel(self) -> bool:
        """Cancel all parts that have not ended; return False if the workflow has."""
        row = self.whole.row
        if row.state != JobState.BLOCKED:
            return False
        row.cancel_requested_at = _now()
        row.version += 1
        for part in self.parts.values():
            if part.row.state == JobState.RUNNING:
                part.row.cancel_requested_at = _now()
            elif not JobState(part.row.state).is_finished:
                part.row.state = JobState.CANCELLED
                part.row.finished_at = _now()
                row.waiting_on -= 1
                send_finished(part.result())
        if not row.waiting_on:
            self._end()
        return True

    def retry(self, only: str | None) -> bool:
        """Run the parts of the ended workflow again that did not succeed, or only one of them."""
        row = self.whole.row
        if row.state not in RETRYABLE:
            return False
        states = {
            key: EndedState(int(part.row.state), part.row.run_when or 0)
            for key, part in self.parts.items()
        }
        edges = [
            (parent, child, is_implied)
            for parent, children in self._dependents.items()
            for child, is_implied in children.items()
        ]
        reruns = plan_retry(states, edges, None if only is None else {only})
        for key, rerun in reruns.items():
            part = self.parts[key]
            part.row.waiting_on, part.row.run_when = rerun.waiting_on, rerun.run_when
            if rerun.state is not None:
                part.row.state = JobState(rerun.state)
            else:
                part.start_again(is_blocked=bool(rerun.waiting_on))
        row.waiting_on = sum(rerun.state is None for rerun in reruns.values())
        self.whole.start_again(is_blocked=True)
        if not row.waiting_on:
            self._end()
        return True

    def fill_in(self, job: str, value: Any, *, max_size: int, of_arguments: bool) -> Any:
        """Return a value with the results of parts in the place of the references to them."""
        reader = ResultsReader(self, max_size)
        reader.read({job}, sign=1 if of_arguments else -1)
        return reader.fill_in(value, job)

    def results_before(self, job: str) -> Iterator[Any]:
        """Yield the results of the parts that a part waited for, in the order of their ids."""
        for parent in sorted(key for key, children in self._dependents.items() if job in children):
            row = self.parts[parent].row
            if row.task_path == JOINT_PATH:
                yield from self.results_before(parent)
            elif row.state == JobState.SUCCESSFUL:
                value = decode(row.return_value)
                yield self.fill_in(parent, value, max_size=sys.maxsize, of_arguments=False)
            else:
                yield None

    def parts_after(self, job: str) -> list[Any]:
        """Return the parts that directly wait for the success of a part, in the order of ids."""
        implied = self._dependents.get(job, {})
        rows = [self._row(key) for key, is_implied in implied.items() if not is_implied]
        after = [row for row in rows if row.run_when == RunWhen.SUCCEEDED]
        return sorted((row for row in after if row.task_path != JOINT_PATH), key=lambda row: row.pk)

    def released_at(self, job: str) -> datetime | None:
        """Return when the last job ended for which a part waited; None if it waited for none."""
        ends = [row.finished_at for row in self._before(job) if row.finished_at is not None]
        return max(ends, default=None)

    def unsuccessful_before(self, job: str) -> dict[UUID, JobState]:
        """Return what a part directly waited for and did not succeed, in the order of ends."""
        ended = [row for row in self._before(job) if row.state in UNSUCCESSFUL]
        return {
            row.pk: JobState(row.state) for row in sorted(ended, key=lambda row: row.finished_at)
        }

    def read_sources(
        self,
        jobs: Collection[str],
        sign: int,
        max_size: int,  # noqa: ARG002
    ) -> tuple[dict[str, SlotSources], int]:
        """Return the parts whose results fill the slots of jobs, and the size of the results."""
        slots: defaultdict[str, SlotSources] = defaultdict(lambda: defaultdict(list))
        handed_over = {dependency.child for dependency in self._dependencies if dependency.slot < 0}
        size = 0
        for dependency in sorted(self._dependencies, key=lambda each: (each.slot, each.position)):
            if dependency.child in jobs and dependency.slot * sign > 0:
                row = self.parts[dependency.parent].row
                size += len(row.return_value or "")
                source = ResultSource(
                    dependency.parent, row.state, row.return_value, dependency.parent in handed_over
                )
                slots[dependency.child][abs(dependency.slot)].append(source)
        return slots, size

    def _blocked(self) -> dict[str, BlockedJob]:
        jobs = {**self.parts, str(self.whole.row.pk): self.whole}
        return {
            key: BlockedJob(
                key,
                None if job.row.workflow is None else str(job.row.workflow),
                job.row.run_when,
                job.row.waiting_on or 0,
                bool(job.row.run_after <= _now()),
                job.row.limit_key,
                job.row.cancel_requested_at is not None,
            )
            for key, job in jobs.items()
            if job.row.state == JobState.BLOCKED
        }

    def _before(self, job: str) -> list[Any]:
        """Return the rows of the jobs for which a part directly waits, or has waited."""
        return [self._row(key) for key, children in self._dependents.items() if job in children]

    def _row(self, job: str) -> Any:
        return self.whole.row if job == str(self.whole.row.pk) else self.parts[job].row

    def _end(self) -> None:
        """End the workflow, all of whose parts have ended."""
        row = self.whole.row
        counts = Counter(JobState(part.row.state) for part in self.parts.values())
        error = ""
        row.state = JobState.SUCCESSFUL
        if row.cancel_requested_at is not None and counts[JobState.CANCELLED]:
            row.state = JobState.CANCELLED
        elif any(counts[state] for state in UNSUCCESSFUL) and not self._tolerates():
            error = self._describe_failures(counts)
        else:
            try:
                row.return_value = self._return_value()
            except (OffloadError, ValueError, RecursionError) as problem:
                error = f"Its return value could not be made: {problem}"
        row.finished_at = _now()
        row.fence += 1
        row.version += 1
        if error:
            row.state = JobState.FAILED
            self.whole.attempts.append(self._attempt(error))
        send_finished(self.whole.result())

    def _tolerates(self) -> bool:
        if not read_workflow(self.whole.row.arguments)["tolerant"]:
            return False
        failed = {key for key, part in self.parts.items() if part.row.state in FAILURES}
        handled = {
            parent
            for parent, children in self._dependents.items()
            if any(self.parts[child].row.run_when != RunWhen.SUCCEEDED for child in children)
        }
        return bool(failed) and failed <= handled

    def _describe_failures(self, counts: Mapping[JobState, int]) -> str:
        states = [state for state in FAILURES if counts[state]] or [JobState.CANCELLED]
        parts = [part for part in self.parts.values() if part.row.state in states]
        names = {
            key: name for name, key in read_workflow(self.whole.row.arguments)["names"].items()
        }
        texts = [
            describe_part(
                names.get(str(part.row.pk), part.row.task_path.rpartition(".")[2]),
                part.row.state,
                part.attempts[-1] if part.attempts else None,
            )
            for part in parts[:MAX_NAMED_PARTS]
        ]
        return describe_parts(texts, states, len(parts), len(self.parts))

    def _return_value(self) -> str:
        row = self.whole.row
        returns = read_workflow(row.arguments)["returns"]
        value = self.fill_in(str(row.pk), returns, max_size=MAX_RETURN_SIZE, of_arguments=False)
        return encode_result(value, max_bytes=MAX_RETURN_SIZE)

    def _attempt(self, text: str) -> Attempt:
        row = self.whole.row
        return Attempt(
            job_id=row.pk,
            fence=row.fence,
            number=1,
            worker=new_id(),
            started_at=row.enqueued_at,
            finished_at=row.finished_at,
            exception_class_path=PARTS_FAILED,
            message=text,
            traceback=f"{PARTS_FAILED}: {text}\n",
        )


def _now() -> datetime:
    return to_datetime(now_microseconds())
