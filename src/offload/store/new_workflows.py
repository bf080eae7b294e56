"""New workflows, and parts that a running part adds to its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import transaction

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.limit_notices import LimitNotices
from offload.store.limit_records import WAITS, KeysToOpen
from offload.store.records import NewJob
from offload.store.statements import statement
from offload.store.workflow_notices import WorkflowNotices
from offload.store.workflow_records import NewDependency, NewPart

MAX_NEW_ROWS = 5000
"""Rows that one statement inserts."""


class _Row(NamedTuple):
    """The columns that follow those of `NewJob` in insert_parts.sql."""

    limit_key: str | None
    limit_slot: str | None
    workflow: str | None
    run_when: int | None
    waiting_on: int
    awaited: int


class NewWorkflows(WorkflowNotices, LimitNotices):
    """Inserts workflows."""

    def insert_workflow(
        self,
        workflow: NewJob,
        parts: Sequence[NewPart],
        dependencies: Sequence[NewDependency],
        keys: KeysToOpen,
    ) -> None:
        """Add a workflow with all its parts, in the caller's transaction.

        A part that waits for no other one can start as soon as the transaction is committed.

        Args:
            workflow: its own job, whose arguments `workflow_arguments` makes; its state is ignored.
            parts: its jobs; none if there is nothing to do, and it succeeds at once.
            dependencies: which of them wait for which, without a circle.
            keys: the keys of limits of its parts.
        """
        own = _Row(None, None, None, None, len(parts), len(parts))
        with transaction.atomic(self.using, savepoint=False):
            self._insert_part_rows([_blocked(workflow) + own])
            self.insert_parts(workflow.id, parts, dependencies)
            self.add_notices(keys)
            if not parts:
                self.add_workflow_notices([workflow.id])
        publish_after_commit(self.using, Hint.WORK)

    def insert_parts(
        self, workflow: str, parts: Sequence[NewPart], dependencies: Sequence[NewDependency]
    ) -> None:
        """Add parts of a workflow with their dependencies, in the caller's transaction."""
        rows = _part_rows(workflow, parts, dependencies)
        for start in range(0, len(rows), MAX_NEW_ROWS):
            self._insert_part_rows(rows[start : start + MAX_NEW_ROWS])
        failpoint("workflows.inserted")
        self.connect_parts(dependencies)
        failpoint("workflows.connected")

    def connect_parts(self, dependencies: Sequence[NewDependency]) -> None:
        """Add dependencies of parts, in the caller's transaction."""
        for start in range(0, len(dependencies), MAX_NEW_ROWS):
            self._insert_dependencies(dependencies[start : start + MAX_NEW_ROWS])

    def _insert_part_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "insert_parts"), rows)

    def _insert_dependencies(self, dependencies: Sequence[NewDependency]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "insert_dependencies"), dependencies)


PART_COLUMNS = (*NewJob._fields, *_Row._fields)
"""The parameters of insert_parts.sql."""


def _part_rows(
    workflow: str, parts: Sequence[NewPart], dependencies: Sequence[NewDependency]
) -> list[tuple[Any, ...]]:
    parents: defaultdict[str, set[str]] = defaultdict(set)
    for dependency in dependencies:
        if dependency.slot >= 0:
            parents[dependency.child].add(dependency.parent)
    rows: list[tuple[Any, ...]] = []
    for job, run_when, limit_key in parts:
        awaited = len(parents.get(job.id, ()))
        limit_slot = None
        if not awaited and job.state == JobState.LIMITED:
            limit_slot = f"{WAITS}{limit_key}"
        columns = _Row(limit_key, limit_slot, workflow, run_when, awaited, awaited)
        rows.append((_blocked(job) if awaited else job) + columns)
    return rows


def _blocked(job: NewJob) -> NewJob:
    return job._replace(state=int(JobState.BLOCKED))
