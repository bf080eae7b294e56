"""The schedules that a process has loaded, in the code and in the settings."""

from __future__ import annotations

from typing import Any, NamedTuple

from offload.schedules.in_code import declared_schedules, job_templates
from offload.store.schedule_records import JobTemplate, ScheduleDefinition, SchedulesOfCode
from offload.task_limits import LOADED_AT
from offload.worker.child.project import has_imported_tasks


class SchedulesInCode(NamedTuple):
    """The schedules that a process has loaded, as values that can be sent as JSON.

    Attributes:
        schedules: each `ScheduleDefinition`.
        jobs: by the alias of the backend and the path of each task that may be scheduled at run
            time, the `JobTemplate` as JSON text.
        is_complete: whether all `tasks` modules could be imported.
        loaded_at: when the process, or the one that it was forked from, loaded its code.
    """

    schedules: list[list[Any]]
    jobs: dict[str, dict[str, str]]
    is_complete: bool
    loaded_at: int = 0

    def of_backend(self, alias: str) -> SchedulesOfCode:
        """Return the schedules of a backend."""
        definitions = [ScheduleDefinition(*columns) for columns in self.schedules]
        jobs = self.jobs.get(alias, {})
        return SchedulesOfCode(
            {one.name: one for one in definitions if one.backend == alias},
            {path: JobTemplate.from_json(text) for path, text in jobs.items()},
            self.loaded_at,
            self.is_complete,
        )


def schedules_in_code() -> SchedulesInCode:
    """Return what this process has loaded."""
    schedules = [list(definition) for definition in declared_schedules()]
    return SchedulesInCode(schedules, job_templates(), has_imported_tasks(), LOADED_AT)
