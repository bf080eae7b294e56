"""A plain Celery task of a module that only Celery's workers import."""

from __future__ import annotations

from tests.celery_apps import unsent


@unsent.task(title="Shown to all", visibility="public")
def shown_to_all() -> None: ...
