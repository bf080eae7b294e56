"""The app of a Celery worker that the tests start, as the project had it before it moved."""

from __future__ import annotations

import json
import os

from celery import Celery

app = Celery("shop", broker=os.environ.get("OFFLOAD_TEST_BROKER", "memory://"))
app.conf.update(
    broker_transport_options=json.loads(os.environ.get("OFFLOAD_TEST_BROKER_OPTIONS", "{}")),
    task_queue_max_priority=9 if "amqp" in os.environ.get("OFFLOAD_TEST_BROKER", "") else None,
    broker_connection_retry_on_startup=True,
)


@app.task(name="tests.from_celery.tasks.add")
def add(x, y):
    return x + y
