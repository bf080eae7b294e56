"""What people read about where a job stands."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

PHASES = {
    "scheduled": _("Scheduled"),
    "queued": _("Waiting"),
    "running": _("Running"),
    "retrying": _("Will be tried again"),
    "cancelling": _("Being cancelled"),
    "succeeded": _("Done"),
    "failed": _("Failed"),
    "lost": _("Failed"),
    "cancelled": _("Cancelled"),
    "expired": _("Expired"),
}
"""A word for each phase of the status document."""
