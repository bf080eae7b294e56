"""`offload.celery.app`, under Celery's name: the app, the class of tasks and `shared_task`."""

from offload.celery.app.base import Celery
from offload.celery.app.sharing import shared_task
from offload.celery.app.task import Task

__all__ = ["Celery", "Task", "shared_task"]
