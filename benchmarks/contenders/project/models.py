"""A table that jobs can query."""

from __future__ import annotations

from django.db import models


class Item(models.Model):
    """A row that a job reads."""

    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name
