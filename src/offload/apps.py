"""The app configuration."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class OffloadConfig(AppConfig):
    """The app `offload`, with its models and system checks."""

    name = "offload"
    verbose_name = _("Background jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from offload import maintenance  # noqa: F401, PLC0415  # whose tasks may be scheduled everywhere
        from offload.checks import registered  # noqa: F401, PLC0415  # registers them; needs the app registry
        from offload.deleted_users import watch_deletions  # noqa: PLC0415  # needs the app registry

        watch_deletions()

        post_migrate.connect(_enable_concurrency, sender=self)


def _enable_concurrency(*, using: str, verbosity: int, **options: Any) -> None:
    """Prepare a database that stores jobs for several processes; only SQLite needs it."""
    from offload.backends.base import offload_backends  # noqa: PLC0415  # needs the app registry
    from offload.store import get_store  # noqa: PLC0415

    line = ""
    with suppress(ImproperlyConfigured):  # reported by the checks
        if any(backend.settings.database == using for backend in offload_backends()):
            line = get_store(using).enable_concurrency()
    if line and verbosity:
        (options.get("stdout") or sys.stdout).write(f"{line}\n")
