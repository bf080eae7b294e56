"""`offload.celery.result`, under Celery's name: the results of tasks."""

from offload.celery.result.async_result import AsyncResult
from offload.celery.result.eager_result import EagerResult
from offload.celery.result.sets import GroupResult, ResultSet
from offload.celery.tasks.request import allow_join_result

__all__ = ["AsyncResult", "EagerResult", "GroupResult", "ResultSet", "allow_join_result"]
