"""What people read about where a job stands, on the server and in the browser."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

PHASE_LABELS = {
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

UNAVAILABLE_LABELS = {
    "missing": _("Not available"),
    "gone": _("No longer kept"),
    "signed-out": _("Please sign in again"),
}
"""A word for each phase that is no phase of a job: the page cannot see it."""

MESSAGES = {
    "percent": _("{}%"),
    "remaining": _("about {} left"),
    "position": _("number {} in the queue"),
    "slow": _("This takes longer than usual."),
    "unserved": _("It cannot be started at the moment. It will start by itself."),
    "reference": _("Reference: {}"),
    "offline": _("Reconnecting …"),
    "online": _("Connected again"),
    "sending": _("Sending …"),
    "unsent": _("It could not be sent. Please try again."),
}
"""What is said around it; {} stands for a value."""


def translated_labels() -> dict[str, str]:
    """Return all that the browser may have to say, in the language of the request."""
    return {
        name: str(text) for name, text in (PHASE_LABELS | UNAVAILABLE_LABELS | MESSAGES).items()
    }
