"""Something to look up in a job."""

from __future__ import annotations

from django.db import models


class Item(models.Model):
    """A row."""

    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name
