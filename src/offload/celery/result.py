"""`offload.celery.result`, under Celery's name: the results of tasks."""

from offload.celery.async_result import AsyncResult
from offload.celery.eager_result import EagerResult
from offload.celery.request import allow_join_result
from offload.celery.result_sets import GroupResult, ResultSet

__all__ = ["AsyncResult", "EagerResult", "GroupResult", "ResultSet", "allow_join_result"]
