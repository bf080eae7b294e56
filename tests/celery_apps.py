"""Celery applications of the tests, one for each kind of broker: as projects have their own."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

from celery import Celery

from offload.backends.celery.application import WORKER
from tests.settings.base import server

_REDIS = server("redis", 63799)
_RABBITMQ = server("rabbitmq", 56729)
REDIS_URL = f"redis://{_REDIS['HOST']}:{_REDIS['PORT']}/3"
IMPATIENT_URL = f"redis://{_REDIS['HOST']}:{_REDIS['PORT']}/4"
"""Another database, as the shortest timeout of all its clients counts."""
RABBITMQ_URL = f"amqp://guest:guest@{_RABBITMQ['HOST']}:{_RABBITMQ['PORT']}//"
CLOSED_URL = "redis://127.0.0.1:9/0"
"""The address of no server: the port is reserved for one that discards everything."""


def _application(name: str, broker: str, **settings: Any) -> Celery:
    app = Celery(name, broker=broker, set_as_current=False)
    app.conf.update(
        imports=[WORKER],
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        **settings,
    )
    return app


redis = _application("redis", REDIS_URL)
impatient_redis = _application(
    "impatient",
    IMPATIENT_URL,
    broker_transport_options={
        "visibility_timeout": 1,
        "unacked_restore_interval": 0.2,
        "unacked_restore_throttle": 1,
    },
)
rabbitmq = _application("rabbitmq", RABBITMQ_URL, task_queue_max_priority=9)
quorum = _application(
    "quorum",
    RABBITMQ_URL,
    task_default_queue_type="quorum",
    task_create_missing_queue_type="quorum",
)
closed = _application("closed", CLOSED_URL)
without_jobs = Celery("without_jobs", broker=CLOSED_URL, set_as_current=False)

RESULTS_QUEUE = os.environ.get("OFFLOAD_TEST_RESULTS_QUEUE") or f"offload-test-{uuid4().hex[:10]}"
"""The queue of plain Celery tasks of one test process, and of the workers that it starts."""
results = Celery("results", broker=REDIS_URL, backend="offload://", set_as_current=False)
"""Plain Celery tasks, whose results are in the database of the tests."""
results.conf.update(
    imports=["tests.celery_results.tasks"],
    task_default_queue=RESULTS_QUEUE,
    task_track_started=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
unsent = Celery("unsent", broker="memory://", backend="offload://", set_as_current=False)
"""Its messages stay in this process, where no worker is."""
refused = Celery("refused", broker=CLOSED_URL, backend="offload://", set_as_current=False)
refused.conf.update(broker_connection_timeout=1)
pickled = Celery("pickled", broker="memory://", backend="offload://", set_as_current=False)
pickled.conf.update(result_serializer="pickle", result_accept_content=["pickle"])
