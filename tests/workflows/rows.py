"""The rows of a workflow, in a form that tests compare."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from offload import WorkflowResult
from offload.lifecycle import RunWhen
from offload.models import Dependency, Job


class Rows:
    """The jobs of a workflow, numbered in the order in which they were added."""

    def __init__(self, result: WorkflowResult[Any]) -> None:
        self.whole = Job.objects.get(pk=result.id)
        self.parts = list(Job.objects.filter(workflow=self.whole.pk).order_by("pk"))
        self._numbers = {part.pk: number for number, part in enumerate(self.parts)}
        self._numbers[self.whole.pk] = -1

    @property
    def arguments(self) -> list[list[Any]]:
        return [json.loads(part.arguments) for part in self.parts]

    @property
    def states(self) -> list[str]:
        return [part.get_state_display() for part in self.parts]

    @property
    def waiting(self) -> list[int | None]:
        return [part.waiting_on for part in self.parts]

    @property
    def conditions(self) -> list[str]:
        return [RunWhen(part.run_when).label for part in self.parts]

    @property
    def dependencies(self) -> set[tuple[int, int, int, int]]:
        """Child, parent, slot and position; -1 for the workflow's own job."""
        rows = Dependency.objects.values_list("child", "parent", "slot", "position")
        return {
            (self._number(child), self._number(parent), slot, position)
            for child, parent, slot, position in rows
            if child in self._numbers
        }

    def _number(self, pk: UUID) -> int:
        return self._numbers[pk]
