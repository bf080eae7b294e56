"""Writes the schedules of this process's code, as a worker does when it starts."""

from __future__ import annotations

from offload.backends.base import get_backend
from offload.exceptions import InvalidSchedule
from offload.schedules.in_code import declared_schedules, job_templates
from offload.store import get_store
from offload.store.schedule_records import JobTemplate, SchedulesOfCode
from offload.task_limits import LOADED_AT


def sync(backend: str, *, is_complete: bool = True) -> None:
    """Write the schedules of a backend; retire those that the code does not have any more.

    Args:
        backend: alias in TASKS.
        is_complete: whether all `tasks` modules were imported; if not, none is retired.

    Raises:
        InvalidSchedule: for names of schedules of another backend, or made at run time, and for
            schedules that code which was loaded later defines otherwise; all others are written.
    """
    code = {schedule.name: schedule for schedule in declared_schedules()}
    own = {name: schedule for name, schedule in code.items() if schedule.backend == backend}
    jobs = {
        path: JobTemplate.from_json(text) for path, text in job_templates().get(backend, {}).items()
    }
    store = get_store(get_backend(backend).settings.database)
    kept = store.keep_schedules(backend, SchedulesOfCode(own, jobs, LOADED_AT, is_complete))
    if kept.refused:
        raise InvalidSchedule(
            f"Not written: {', '.join(kept.refused)}. Schedules of another backend, or made at run "
            "time, have these names. Give those in the code other names, or delete the others."
        )
    if kept.newer:
        raise InvalidSchedule(
            f"Not written: {', '.join(kept.newer)}. A process that has loaded its code later "
            "defines these otherwise. Compare the code and the clocks of the machines."
        )
