"""The lab's cards: each experiment with one visitor's last job and result."""

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.tasks import TaskResult, TaskResultStatus, default_task_backend
from django.tasks.exceptions import TaskResultDoesNotExist
from django.urls import reverse

from shop.models import Run
from shop.results import outcome

NAMES = ("photos", "orders", "mails", "visits", "parcels", "payment")


class Card(NamedTuple):
    """One experiment with its last job and its last result."""

    name: str
    job: TaskResult | None
    outcome: dict[str, Any] | None

    @property
    def template(self) -> str:
        """The template of the experiment."""
        return f"shop/experiments/{self.name}.html"

    @property
    def ways(self) -> list[tuple[str, str, str]]:
        """The two ways to run it: name, label and URL of the button."""
        return [
            (way, label, reverse(f"{self.name}-{way}"))
            for way, label in (("blocking", "Blocking"), ("background", "Background"))
        ]


def cards(request: HttpRequest) -> list[Card]:
    """Return all experiments with this visitor's jobs and results."""
    visitor = visitor_of(request)
    return [card(visitor, name) for name in NAMES]


def card(visitor: str, name: str) -> Card:
    """Return one experiment with a visitor's job and result."""
    runs = Run.objects.filter(visitor=visitor, experiment=name)
    job, last = last_job(visitor, name), runs.last()
    value = last.result if last else None
    if not value and job and job.status == TaskResultStatus.SUCCESSFUL:
        value = job.return_value
    return Card(name, job, outcome(name, value) if value else None)


def last_job(visitor: str, name: str) -> TaskResult | None:
    """Return the job of a visitor's last run with a job, unless it was deleted."""
    run = Run.objects.filter(visitor=visitor, experiment=name).exclude(job=None).last()
    try:
        return default_task_backend.get_result(str(run.job)) if run else None
    except TaskResultDoesNotExist:
        return None


def visitor_of(request: HttpRequest) -> str:
    """Return the key of the visitor's session; create the session if needed."""
    if not request.session.session_key:
        request.session.create()
    return request.session.session_key


def keep_result(request: HttpRequest, name: str, value: dict[str, Any]) -> None:
    """Store the result of blocking work."""
    Run.objects.create(visitor=visitor_of(request), experiment=name, result=value)


def keep_job(request: HttpRequest, name: str, job: TaskResult) -> None:
    """Store the job that does the work."""
    Run.objects.create(visitor=visitor_of(request), experiment=name, job=job.id)
