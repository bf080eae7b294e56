"""Locks on unique keys, for MariaDB and MySQL."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactCharField


class UniqueLock(models.Model):
    """A lock on a key that no job holds, until the end of the transaction that inserts the job.

    The transaction inserts the row and deletes it again, so there never is one to see. Another one
    with the same key waits for the lock. The other databases have a unique index instead.
    """

    unique_key = ExactCharField(max_length=250, primary_key=True)

    def __str__(self) -> str:
        return str(self.unique_key)
