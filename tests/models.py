"""Tables of the tests, created without migrations."""

from __future__ import annotations

from django.db import models

from tests import celery_tables  # noqa: F401  # its tables are made, too


class Effect(models.Model):
    """A write of a task. A token may occur twice: no constraint hides a second run."""

    token = models.CharField(max_length=64)

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return self.token


class Transition(models.Model):
    """A change of a job's state or fence, recorded by a trigger, independently of the package."""

    job_id = models.UUIDField()
    old_state = models.SmallIntegerField()
    new_state = models.SmallIntegerField()
    old_fence = models.IntegerField()
    new_fence = models.IntegerField()

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return f"{self.job_id}: {self.old_state} -> {self.new_state}"
