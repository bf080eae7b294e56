"""`offload.celery.schedules`, under Celery's name: when periodic tasks run."""

from offload.celery.schedules.crontabs import crontab, schedule

__all__ = ["crontab", "schedule"]
