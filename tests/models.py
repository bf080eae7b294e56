"""Tables that only tests have; made without migrations."""

from __future__ import annotations

from django.db import models


class Effect(models.Model):
    """Something a task did in the database. Nothing keeps a token from being there twice."""

    token = models.CharField(max_length=64)

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return self.token


class Transition(models.Model):
    """A change of a job's state or run, written by a trigger: a witness beside the product."""

    job_id = models.UUIDField()
    old_state = models.SmallIntegerField()
    new_state = models.SmallIntegerField()
    old_fence = models.IntegerField()
    new_fence = models.IntegerField()

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return f"{self.job_id}: {self.old_state} -> {self.new_state}"
