"""The tables of django-celery-beat 2.9 and django-celery-results 2.6, which tests fill.

The first cannot be installed with Django 6.1.
"""

from __future__ import annotations

from django.db import models


class IntervalSchedule(models.Model):
    every = models.IntegerField()
    period = models.CharField(max_length=24)

    class Meta:
        app_label = "tests"
        db_table = "django_celery_beat_intervalschedule"

    def __str__(self) -> str:
        return self.period


class CrontabSchedule(models.Model):
    minute = models.CharField(max_length=240, default="*")
    hour = models.CharField(max_length=96, default="*")
    day_of_month = models.CharField(max_length=124, default="*")
    month_of_year = models.CharField(max_length=64, default="*")
    day_of_week = models.CharField(max_length=64, default="*")
    timezone = models.CharField(max_length=63, default="UTC")

    class Meta:
        app_label = "tests"
        db_table = "django_celery_beat_crontabschedule"

    def __str__(self) -> str:
        return self.minute


class SolarSchedule(models.Model):
    event = models.CharField(max_length=24)
    latitude = models.DecimalField(max_digits=9, decimal_places=6)
    longitude = models.DecimalField(max_digits=9, decimal_places=6)

    class Meta:
        app_label = "tests"
        db_table = "django_celery_beat_solarschedule"

    def __str__(self) -> str:
        return self.event


class ClockedSchedule(models.Model):
    clocked_time = models.DateTimeField()

    class Meta:
        app_label = "tests"
        db_table = "django_celery_beat_clockedschedule"

    def __str__(self) -> str:
        return str(self.clocked_time)


class PeriodicTask(models.Model):
    name = models.CharField(max_length=200, unique=True)
    task = models.CharField(max_length=200)
    interval = models.ForeignKey(IntervalSchedule, models.CASCADE, null=True)
    crontab = models.ForeignKey(CrontabSchedule, models.CASCADE, null=True)
    solar = models.ForeignKey(SolarSchedule, models.CASCADE, null=True)
    clocked = models.ForeignKey(ClockedSchedule, models.CASCADE, null=True)
    args = models.TextField(default="[]")
    kwargs = models.TextField(default="{}")
    queue = models.CharField(max_length=200, null=True)  # noqa: DJ001  # as it is there
    exchange = models.CharField(max_length=200, null=True)  # noqa: DJ001
    routing_key = models.CharField(max_length=200, null=True)  # noqa: DJ001
    headers = models.TextField(default="{}", null=True)  # noqa: DJ001
    priority = models.PositiveIntegerField(null=True)
    expires = models.DateTimeField(null=True)
    expire_seconds = models.PositiveIntegerField(null=True)
    one_off = models.BooleanField(default=False)
    start_time = models.DateTimeField(null=True)
    enabled = models.BooleanField(default=True)
    last_run_at = models.DateTimeField(null=True)
    total_run_count = models.PositiveIntegerField(default=0)
    date_changed = models.DateTimeField(auto_now=True)
    description = models.TextField(default="")

    class Meta:
        app_label = "tests"
        db_table = "django_celery_beat_periodictask"

    def __str__(self) -> str:
        return self.name


class TaskResult(models.Model):
    task_id = models.CharField(max_length=255, unique=True)
    task_name = models.CharField(max_length=255, null=True)  # noqa: DJ001
    status = models.CharField(max_length=50, default="PENDING")
    content_type = models.CharField(max_length=128, default="application/json")
    content_encoding = models.CharField(max_length=64, default="utf-8")
    result = models.TextField(null=True)  # noqa: DJ001
    date_done = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "tests"
        db_table = "django_celery_results_taskresult"

    def __str__(self) -> str:
        return self.task_id
