"""Jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import models, router, transaction
from django.db.models import F, Q

from offload.lifecycle import JobState, RunWhen
from offload.models.exact_text import ExactCharField, ExactTextField, OrderedCharField
from offload.models.fields import TimestampField
from offload.models.indexes import PartialIndex
from offload.models.workflow import WorkflowNotice
from offload.uuid7 import new_id

READY_ORDER = ["backend", "queue_name", "is_async", "-priority", "run_after", "id"]
"""The order in which ready jobs are claimed from each queue."""

LIMITED_ORDER = ["limit_slot", "-priority", "run_after", "id"]
"""The order in which the jobs of one key of a limit are claimed."""


class JobQuerySet(models.QuerySet["Job"]):
    """Jobs. `delete()` leaves a notice for the workflows whose parts it deletes."""

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the jobs; what waits for parts of workflows among them goes on without them."""
        if self.query.is_sliced:
            return super().delete()  # which raises
        self._for_write = True
        parts = self.filter(workflow__isnull=False).order_by()
        # Before the transaction, which on SQLite must not read before it writes.
        workflows = list(parts.values_list("workflow", flat=True).distinct())
        with transaction.atomic(self.db):
            deleted = super().delete()
            notice_deletion(workflows, self.db)
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]  # as Django marks its own
    delete.queryset_only = True  # type: ignore[attr-defined]

    def delete_finished(self) -> int:
        """Delete those that have finished, for which nothing waits; return how many."""
        return models.QuerySet.delete(self.filter(finished_at__isnull=False))[0]

    delete_finished.alters_data = True  # type: ignore[attr-defined]
    delete_finished.queryset_only = True  # type: ignore[attr-defined]


class Job(models.Model):
    """One enqueued call of a task; kept after it has finished, until it is pruned.

    Only `offload.store` writes to this table.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    state = models.SmallIntegerField(choices=JobState)
    backend = ExactCharField(max_length=64)
    queue_name = ExactCharField(max_length=64)
    priority = models.SmallIntegerField()
    is_async = models.BooleanField()
    task_path = ExactCharField(max_length=255)
    arguments = ExactTextField()
    """JSON text: [args, kwargs]."""
    run_after = TimestampField()
    """The time from which the job may run; orders the jobs of one priority."""
    expires_at = TimestampField(null=True, blank=True)
    enqueued_at = TimestampField()
    started_at = TimestampField(null=True, blank=True)
    last_attempted_at = TimestampField(null=True, blank=True)
    finished_at = TimestampField(null=True, blank=True)
    timeout = models.FloatField(null=True, blank=True)
    """Seconds for which one attempt may run."""
    attempt = models.IntegerField(db_default=0, default=0)
    """Attempts that count towards `max_attempts`: not those lost, snoozed or released."""
    max_attempts = models.IntegerField()
    worker_losses = models.IntegerField(db_default=0, default=0)
    """How often the process that ran the job died."""
    max_worker_losses = models.IntegerField()
    fence = models.IntegerField(db_default=0, default=0)
    """Number of claims so far, never reset. Every write about a running job names it, so that a
    worker that has lost the job cannot change it (a fencing token)."""
    worker = models.UUIDField(null=True, blank=True)
    """The worker that holds the job, or held it last."""
    cancel_requested_at = TimestampField(null=True, blank=True)
    owner = ExactCharField(max_length=128, db_default="", default="", blank=True)
    """The user or the session whose request enqueued the job."""
    tenant = ExactCharField(max_length=64, db_default="", default="", blank=True)
    request_id = ExactCharField(max_length=64, db_default="", default="", blank=True)
    parent = models.UUIDField(null=True, blank=True)
    """The job that enqueued this one."""
    failure_depth = models.SmallIntegerField(db_default=0, default=0)
    """How many failures in a row led to this job: one more than its parent's if a signal receiver
    or a log handler enqueued it when the parent failed."""
    schedule = ExactCharField(max_length=100, null=True, blank=True)
    """The schedule that enqueued the job; None for another job."""
    scheduled_for = TimestampField(null=True, blank=True)
    """The tick of the schedule; None for an extra run, or another job."""
    limit_key = ExactCharField(max_length=250, null=True, blank=True)
    """The key of its task's limit, as in `LimitKey`; None without a limit."""
    limit_slot = OrderedCharField(max_length=252, null=True, blank=True)
    """"w:" and the key while the job waits for a slot, "h:" and the key while it holds one. With a
    limit or without: "p:" and the id of a `TaskPause` while the job is parked by it."""
    workflow = models.UUIDField(null=True, blank=True)
    """The job that stands for the workflow of which this one is a part; None without one."""
    run_when = models.SmallIntegerField(choices=RunWhen, null=True, blank=True)
    """What must become of the jobs that this part of a workflow waits for; None for a workflow."""
    waiting_on = models.IntegerField(null=True, blank=True)
    """How many jobs that it waits for have not finished: a workflow waits for all its parts."""
    awaited = models.IntegerField(null=True, blank=True)
    """How many jobs it waits for in all, finished or not."""
    unique_key = ExactCharField(max_length=250, null=True, blank=True)
    """The key that the job holds, so that no other job can have it; None if it holds none."""
    unique_until = models.SmallIntegerField(null=True, blank=True)
    """The first state in which the job no longer holds its key; None for a job without a key."""
    unique_within = TimestampField(null=True, blank=True)
    """The time until which it holds the key in any state."""
    version = models.IntegerField(db_default=0, default=0)
    """Grows with every visible change."""
    progress = ExactTextField(null=True, blank=True)
    """JSON text: the progress of the running attempt."""
    return_value = ExactTextField(null=True, blank=True)
    """JSON text."""

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                # A range, because SQLite builds a table of an IN's values for each statement.
                condition=Q(state__range=(min(JobState.values), max(JobState.values))),
                name="offload_job_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state__lt=JobState.SUCCESSFUL, finished_at=None)
                | Q(state__gte=JobState.SUCCESSFUL, finished_at__isnull=False),
                name="offload_job_finished_at",
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.RUNNING) | Q(worker__isnull=False),
                name="offload_job_running_has_worker",
            ),
            models.CheckConstraint(
                condition=Q(limit_slot=None)
                | Q(state=JobState.LIMITED, limit_slot__startswith="w:")
                | Q(state=JobState.LIMITED, limit_slot__startswith="p:")
                | Q(state=JobState.RUNNING, limit_slot__startswith="h:"),
                name="offload_job_limit_slot",
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.RUNNING)
                | Q(limit_key=None)
                | Q(limit_slot__isnull=False),
                name="offload_job_running_holds_slot",
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.BLOCKED) | Q(waiting_on__isnull=False),
                name="offload_job_blocked_waits",
            ),
            models.CheckConstraint(
                condition=Q(waiting_on=None) | Q(waiting_on__gte=0),
                name="offload_job_waiting_on",
            ),
            models.CheckConstraint(
                condition=Q(unique_key=None)
                | Q(unique_until__isnull=False, state__lt=F("unique_until"))
                | Q(unique_until__isnull=False, unique_within__isnull=False),
                name="offload_job_unique_key",
            ),
        )
        indexes = (
            PartialIndex(
                name="offload_job_limited",
                fields=LIMITED_ORDER,
                where=Q(limit_slot__isnull=False),
                instead=LIMITED_ORDER,
            ),
            PartialIndex(
                name="offload_job_unique",
                fields=["unique_key"],
                where=Q(unique_key__isnull=False),
                instead=["unique_key"],
                unique=True,
            ),
            PartialIndex(
                name="offload_job_ready",
                fields=READY_ORDER,
                where=Q(state=JobState.READY),
                instead=["-state", *READY_ORDER],
            ),
            PartialIndex(
                name="offload_job_scheduled",
                fields=["run_after"],
                where=Q(state=JobState.SCHEDULED),
                instead=["-state", "run_after"],
            ),
            PartialIndex(
                name="offload_job_running",
                fields=["worker"],
                where=Q(state=JobState.RUNNING),
                instead=["state", "worker"],
            ),
            PartialIndex(
                name="offload_job_workflow",
                fields=["workflow", "id"],
                where=Q(workflow__isnull=False),
                instead=["workflow", "id"],
            ),
            PartialIndex(
                name="offload_job_finished",
                fields=["state", "finished_at"],
                where=Q(finished_at__isnull=False),
                instead=["state", "finished_at"],
            ),
        )

    def __str__(self) -> str:
        return f"{self.task_path} {self.id}"

    def delete(
        self,
        using: Any = None,
        keep_parents: bool = False,  # noqa: FBT001, FBT002  # Django's
    ) -> tuple[int, dict[str, int]]:
        """Delete the job; what waits for it, if it is a part of a workflow, goes on without it."""
        using = using or router.db_for_write(Job, instance=self)
        with transaction.atomic(using):
            deleted = super().delete(using, keep_parents)
            if self.workflow is not None:
                notice_deletion([self.workflow], using)
        return deleted

    @property
    def attempts_allowed(self) -> int:
        """How many attempts pages show as allowed: a `Retry` may allow more than `max_attempts`."""
        return max(self.attempt, self.max_attempts)

    @property
    def is_workflow(self) -> bool:
        """Whether it stands for a workflow, and is never run itself."""
        return self.awaited is not None and self.run_when is None


def notice_deletion(workflows: Iterable[UUID | None], using: str) -> None:
    """Leave a notice for workflows that have lost parts, unless they were deleted too."""
    ids = [workflow for workflow in workflows if workflow is not None]
    if not ids:
        return
    found = Job.objects.using(using).filter(pk__in=ids, state=JobState.BLOCKED)
    notices = [WorkflowNotice(job=pk) for pk in found.values_list("pk", flat=True)]
    WorkflowNotice.objects.using(using).bulk_create(notices)
