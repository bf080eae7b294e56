"""The tables of django-celery-beat and django-celery-results, which need not be installed.

Their versions differ in columns, so only those that a table has are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps.registry import Apps
from django.db import connections, models

_registry = Apps()
"""These models belong to no app: they make no migrations."""


class PeriodicTask(models.Model):
    """A row of the admin's periodic tasks."""

    name = models.CharField(max_length=200)
    task = models.CharField(max_length=200)
    interval_id = models.IntegerField(null=True)
    crontab_id = models.IntegerField(null=True)
    solar_id = models.IntegerField(null=True)
    clocked_id = models.IntegerField(null=True)
    args = models.TextField()
    kwargs = models.TextField()
    queue = models.CharField(max_length=200, default="")
    exchange = models.CharField(max_length=200, default="")
    routing_key = models.CharField(max_length=200, default="")
    headers = models.TextField(default="")
    priority = models.IntegerField(null=True)
    expires = models.DateTimeField(null=True)
    expire_seconds = models.IntegerField(null=True)
    one_off = models.BooleanField()
    start_time = models.DateTimeField(null=True)
    enabled = models.BooleanField()
    total_run_count = models.IntegerField()
    last_run_at = models.DateTimeField(null=True)
    description = models.TextField()

    class Meta:
        app_label = "offload_from_celery"
        apps = _registry
        db_table = "django_celery_beat_periodictask"
        managed = False

    def __str__(self) -> str:
        return str(self.name)


class Interval(models.Model):
    """An interval of periodic tasks."""

    every = models.IntegerField()
    period = models.CharField(max_length=24)

    class Meta:
        app_label = "offload_from_celery"
        apps = _registry
        db_table = "django_celery_beat_intervalschedule"
        managed = False

    def __str__(self) -> str:
        return f"every {self.every} {self.period}"


class Crontab(models.Model):
    """A crontab of periodic tasks."""

    minute = models.CharField(max_length=240)
    hour = models.CharField(max_length=96)
    day_of_month = models.CharField(max_length=124)
    month_of_year = models.CharField(max_length=64)
    day_of_week = models.CharField(max_length=64)
    timezone = models.CharField(max_length=63, default="")

    class Meta:
        app_label = "offload_from_celery"
        apps = _registry
        db_table = "django_celery_beat_crontabschedule"
        managed = False

    def __str__(self) -> str:
        return f"{self.minute} {self.hour} {self.day_of_month} {self.month_of_year}"


class Clocked(models.Model):
    """A single time of a periodic task."""

    clocked_time = models.DateTimeField()

    class Meta:
        app_label = "offload_from_celery"
        apps = _registry
        db_table = "django_celery_beat_clockedschedule"
        managed = False

    def __str__(self) -> str:
        return str(self.clocked_time)


class TaskResult(models.Model):
    """The result of a task."""

    status = models.CharField(max_length=50)

    class Meta:
        app_label = "offload_from_celery"
        apps = _registry
        db_table = "django_celery_results_taskresult"
        managed = False

    def __str__(self) -> str:
        return str(self.status)


def has_table(model: type[models.Model], using: str) -> bool:
    """Return whether a database has the table of a model."""
    connection = connections[using]
    return model._meta.db_table in connection.introspection.table_names()


def rows_of(model: type[models.Model], using: str) -> Iterator[Any]:
    """Yield the rows of a table by id; attributes whose columns it lacks have their defaults."""
    connection = connections[using]
    with connection.cursor() as cursor:
        table = connection.introspection.get_table_description(cursor, model._meta.db_table)
    known = {column.name for column in table}
    names = [field.attname for field in model._meta.concrete_fields if field.column in known]
    for values in model._meta.base_manager.using(using).order_by("pk").values(*names):
        yield model(**values)


def numbered(model: type[models.Model], using: str) -> dict[int, Any]:
    """Return the rows of a table by id; nothing if the database does not have it."""
    return {row.pk: row for row in rows_of(model, using)} if has_table(model, using) else {}
