"""Tasks that are registered, and not made by a decorator."""

from offload.celery import Task, current_app, shared_task
from tests.celery.tasks import add


class Multiply(Task):
    def run(self, x: int, y: int) -> int:
        return x * y


current_app.register_task(Multiply())
add_again = shared_task(add.run, name="add under another name")
