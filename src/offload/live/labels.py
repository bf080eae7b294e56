"""The texts of `<task-status>`, on the server and in the browser."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

PHASE_LABELS = {
    "scheduled": _("Scheduled"),
    "queued": _("Waiting"),
    "limited": _("Waiting for its turn"),
    "blocked": _("Waiting"),
    "running": _("Running"),
    "retrying": _("Retrying"),
    "cancelling": _("Cancelling"),
    "succeeded": _("Done"),
    "failed": _("Failed"),
    "lost": _("Failed"),
    "cancelled": _("Cancelled"),
    "expired": _("Expired"),
    "skipped": _("Skipped"),
}
"""The label of each phase of a job."""

UNAVAILABLE_LABELS = {
    "missing": _("Not available"),
    "gone": _("No longer available"),
    "signed-out": _("Please sign in again"),
}
"""The labels shown in place of a phase if the page cannot see the job."""

MESSAGES = {
    "percent": _("{}%"),
    "remaining": _("about {} left"),
    "position": _("position {} in the queue"),
    "slow": _("This takes longer than usual."),
    "unserved": _("It cannot be started at the moment. It will start automatically."),
    "paused": _("Paused. It will start automatically."),
    "concurrency": _("Others are running first. It will start automatically."),
    "rate": _("Only so many may start in a given time. It will start automatically."),
    "reference": _("Reference: {}"),
    "offline": _("Reconnecting …"),
    "online": _("Connected again"),
    "sending": _("Sending …"),
    "unsent": _("Sending failed. Please try again."),
}
"""The other texts; {} is replaced by a value."""


def translated_labels() -> dict[str, str]:
    """Return all texts for the browser, in the active language."""
    texts = PHASE_LABELS | UNAVAILABLE_LABELS | MESSAGES
    return {name: str(text) for name, text in texts.items()}
