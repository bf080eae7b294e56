"""Tasks that an operator has paused."""

from __future__ import annotations

from django.db import models

from offload.models.exact_text import ExactCharField
from offload.models.pause import Pausable


class TaskPause(Pausable):
    """The pause of a task. The row stays when the pause is over, and the next pause uses it."""

    backend = ExactCharField(max_length=64)
    task_path = ExactCharField(max_length=255)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("backend", "task_path"), name="offload_task_pause_once"
            ),
        )

    def __str__(self) -> str:
        return str(self.task_path)
