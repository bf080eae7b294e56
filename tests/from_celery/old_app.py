"""The app of Celery that a project has kept, with a task that has not moved yet."""

from __future__ import annotations

import warnings

from celery import Celery

app = Celery("old", broker="memory://", set_as_current=False)
app.conf.update(
    task_acks_late=True,
    beat_schedule={"hourly": {"task": "tests.from_celery.old_app.later", "schedule": 3600}},
)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Celery 5.7 warns of the options about queues

    @app.task(
        queue="reports",
        routing_key="reports",
        rate_limit="10/m",
        serializer="pickle",
        lazy=False,
        shared=False,
    )
    def later(): ...
