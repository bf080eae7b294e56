"""The app of Celery that a project has kept, with a task that has not moved yet."""

from __future__ import annotations

from celery import Celery

app = Celery("old", broker="memory://", set_as_current=False)
app.conf.update(
    task_acks_late=True,
    beat_schedule={"hourly": {"task": "tests.from_celery.old_app.later", "schedule": 3600}},
)


@app.task(queue="reports", routing_key="reports", rate_limit="10/m", serializer="pickle")
def later(): ...
