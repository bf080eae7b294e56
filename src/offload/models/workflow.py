"""Which parts of a workflow wait for which others, and messages about them."""

from __future__ import annotations

from django.db import models


class Dependency(models.Model):
    """A part of a workflow that waits for another one, or takes its result.

    A workflow's own row depends in this way on the parts of which its return value is made, and so
    does a part that has handed its result over to others.
    """

    pk = models.CompositePrimaryKey("child", "parent", "slot")
    child = models.UUIDField()
    """The job that waits."""
    parent = models.UUIDField()
    """The job that it waits for."""
    slot = models.IntegerField()
    """Above 0 the place in the child's arguments that the parent's result fills, below 0 the place
    in the child's return value, 0 if the child only waits."""
    position = models.IntegerField(default=0)
    """The place in the list of results with which several parents fill one slot."""

    class Meta:
        indexes = (models.Index(fields=["parent"], name="offload_dependency_parent"),)

    def __str__(self) -> str:
        return f"{self.child} waits for {self.parent}"


class WorkflowNotice(models.Model):
    """A message to workers: a part of a workflow has ended, or a workflow is to be cancelled.

    Whoever ends a part without an exchange adds a row, and so touches none of the jobs that wait
    for it. Workers delete the message, and tell these jobs.
    """

    job = models.UUIDField()
    """The part, or the workflow's own job."""
    told_up_to = models.UUIDField(null=True, blank=True)
    """The last job, of those that wait for the part, that was told of its end; None if none was."""

    def __str__(self) -> str:
        return str(self.job)
