"""The rows of django-celery-results, which stay where they are."""

from __future__ import annotations

from django.db.models import Count

from offload.from_celery.report import Item
from offload.from_celery.tables import TaskResult, has_table

ENDED = {"SUCCESS", "FAILURE", "REVOKED", "IGNORED", "REJECTED"}


def result_items(using: str) -> list[Item]:
    """Return what becomes of the results, by their states.

    They are not made jobs: the arguments in these rows are shortened texts, and the rows say
    neither the queue nor the attempts.

    Args:
        using: alias in DATABASES.
    """
    if not has_table(TaskResult, using):
        return []
    counts = (
        TaskResult._meta.base_manager.using(using)
        .values_list("status")
        .annotate(Count("pk"))
        .order_by("status")
    )
    return [_item(status, count) for status, count in counts]


def _item(status: str, count: int) -> Item:
    name = f"{count:,} {'row' if count == 1 else 'rows'} {status}"
    if status in ENDED:
        return Item(
            name,
            "nothing: they stay in django_celery_results_taskresult",
            by_hand="Let your status view look there for old ids, until you delete the table.",
        )
    return Item(
        name,
        "nothing: the messages of these tasks become jobs",
        lost="the state, which changes no more",
    )
