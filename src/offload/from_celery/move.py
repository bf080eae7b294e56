"""The whole move: reads everything, and writes what can be written."""

from __future__ import annotations

from collections.abc import Collection

from offload.backends.base import OffloadBackend
from offload.from_celery.beat_rows import BeatRows
from offload.from_celery.celery_app import CeleryApp
from offload.from_celery.queues import Wishes, messages_section, names_of_queues
from offload.from_celery.report import Report, Section
from offload.from_celery.results import result_items
from offload.from_celery.schedules import schedule_items, write_schedules
from offload.from_celery.settings import broker_of, read_settings, settings_items
from offload.from_celery.tasks import task_items
from offload.worker.child.project import import_tasks


class Move:
    """The move of a project from Celery to a backend.

    Args:
        app: its app of Celery, as far as it has one.
        backend: of TASKS.
        using: alias in DATABASES of the tables of django-celery-beat and django-celery-results.
        wishes: the options of the command.
    """

    def __init__(self, app: CeleryApp, backend: OffloadBackend, using: str, wishes: Wishes) -> None:
        self._app = app
        self._backend = backend
        self._using = using
        self._wishes = wishes
        self._is_complete = import_tasks()
        self._settings = read_settings(app.settings)
        self._queues_of_rows: set[str] = set()

    def report(self) -> Report:
        """Read everything, and write it if that is wished; return what has become of it.

        Raises:
            LookupError: if workers answer although `--held` says that none runs.
        """
        schedules = self._schedules()
        in_code = {item.name for item in schedules.items}
        sections = [
            Section("settings", "Settings", settings_items(self._settings)),
            self._tasks(),
            schedules,
            self._rows(in_code),
            Section("results", "Results in django_celery_results", result_items(self._using)),
            self._messages(),
        ]
        return Report(sections, self._wishes.write)

    def _tasks(self) -> Section:
        items = task_items(
            self._app.tasks, is_redis=self._is_redis, queues=set(self._backend.queues)
        )
        return Section("tasks", "Tasks", items, list(self._app.unread))

    def _schedules(self) -> Section:
        items = schedule_items(self._app.beat_schedule)
        if self._wishes.write:
            items += write_schedules(is_complete=self._is_complete)
        return Section("schedules", "Periodic tasks of the code and the settings", items)

    def _rows(self, in_code: Collection[str]) -> Section:
        jobs_in = self._backend.settings.database
        rows = BeatRows(self._using, jobs_in, is_redis=self._is_redis, in_code=in_code)
        items = list(rows.items(write=self._wishes.write))
        self._queues_of_rows = rows.queues
        return Section("rows", "Periodic tasks in django_celery_beat", items)

    def _messages(self) -> Section:
        names = self._wishes.queues or sorted(
            names_of_queues(self._settings, self._app.tasks) | self._queues_of_rows
        )
        return messages_section(self._settings, self._wishes, names)

    @property
    def _is_redis(self) -> bool:
        url = self._wishes.broker or broker_of(self._settings)
        return url.startswith(("redis", "sentinel"))
