"""What the lab shows of its experiments to one visitor, and what it keeps for that."""

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.tasks import TaskResult, TaskResultStatus, default_task_backend
from django.tasks.exceptions import TaskResultDoesNotExist
from django.urls import reverse

from shop.results import outcome

NAMES = ("photos", "orders", "mails", "visits", "parcels", "payment")


class Card(NamedTuple):
    """One experiment: the job that runs or ran last, and what came of the work last."""

    name: str
    job: TaskResult | None
    outcome: dict[str, Any] | None

    @property
    def template(self) -> str:
        """What describes the experiment."""
        return f"shop/experiments/{self.name}.html"

    @property
    def ways(self) -> list[tuple[str, str, str]]:
        """The two ways to do it: name, label of the button, and where it leads."""
        return [
            (way, label, reverse(f"{self.name}-{way}"))
            for way, label in (("blocking", "Blocking"), ("background", "Background"))
        ]


def cards(request: HttpRequest) -> list[Card]:
    """Return all experiments as this visitor has left them."""
    return [card(request, name) for name in NAMES]


def card(request: HttpRequest, name: str) -> Card:
    """Return one experiment as this visitor has left it."""
    job, value = find_job(request, name), request.session.get(f"result-{name}")
    if not value and job and job.status == TaskResultStatus.SUCCESSFUL:
        value = job.return_value
    return Card(name, job, outcome(name, value) if value else None)


def find_job(request: HttpRequest, name: str) -> TaskResult | None:
    """Return the job that this visitor has started last."""
    try:
        return default_task_backend.get_result(request.session[f"job-{name}"])
    except (KeyError, TaskResultDoesNotExist):
        return None


def keep_result(request: HttpRequest, name: str, value: dict[str, Any]) -> None:
    """Keep what came of work that was done before the response.

    A session is read when it is first asked for, and written whole. So a view that works for
    seconds asks for it only here, or it would undo what others wrote meanwhile.
    """
    request.session[f"result-{name}"] = value


def keep_job(request: HttpRequest, name: str, job: TaskResult) -> None:
    """Keep which job does the work, instead of what came of it before."""
    request.session[f"job-{name}"] = job.id
    request.session.pop(f"result-{name}", None)
