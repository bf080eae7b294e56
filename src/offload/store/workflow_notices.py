"""Messages to workers about workflows: added by whoever ends a part without an exchange."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from offload.failpoints import failpoint
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.session import Session
from offload.store.statements import statement


class TakenNotice(NamedTuple):
    """A notice that this transaction has deleted.

    Attributes:
        job: a part that has ended, or a workflow.
        told_up_to: the last of the jobs to which the end of the part was told; empty for none.
    """

    job: str
    told_up_to: str = ""


class WorkflowNotices(Session):
    """Adds notices about workflows."""

    def add_workflow_notices(
        self, jobs: Collection[str], told_up_to: Mapping[str, str] | None = None
    ) -> None:
        """Tell workers of parts that have ended, or of workflows to look at, after the commit.

        Args:
            jobs: the parts and the workflows.
            told_up_to: the last of the jobs to which the end of a part was told, by the part.
        """
        if jobs:
            told_up_to = told_up_to or {}
            with self.connection.cursor() as cursor:
                rows = [(job, told_up_to.get(job) or None) for job in jobs]
                cursor.executemany(statement(self.dialect, "add_workflow_notices"), rows)
            failpoint("workflows.noticed")
            publish_after_commit(self.using, Hint.WORKFLOW)
