"""The texts of the admin about schedules: labels of options, choices and reasons."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

LABELS = {
    "name": _("Name"),
    "args": _("Arguments"),
    "kwargs": _("Arguments by name"),
    "timezone": _("Time zone"),
    "start": _("Start"),
    "end": _("End"),
    "jitter": _("Delay of at most"),
    "catch_up": _("After an outage"),
    "deadline": _("Drop a tick that is later than"),
    "overlap": _("If the last job has not finished"),
    "priority": _("Priority"),
    "queue_name": _("Queue"),
}
"""The labels of the options, in the form and on pages that only show them."""
CATCH_UP_CHOICES = {
    "once": _("one job, for the latest missed tick"),
    "all": _("a job for each missed tick"),
    "skip": _("no job for missed ticks"),
}
OVERLAP_CHOICES = {
    "skip": _("skip the tick"),
    "allow": _("run beside it"),
    "wait": _("run after it"),
}
STATES = {
    "active": _("active"),
    "paused": _("paused"),
    "retired": _("retired"),
    "broken": _("broken"),
    "ended": _("ended"),
}
WAITS = _("waits: its queue is full")


SOURCES = {"code": _("the code"), "settings": _("the settings"), "admin": _("the admin")}
SKIPPED_WHY = {
    "overlap": _("the last job had not finished"),
    "deadline": _("too late"),
    "catch_up": _("no worker ran"),
    "full": _("its queue was full"),
    "unique": _("another job held its key"),
}
NOT_IN_CODE = _("not in the code any more")
EMPTY = "-"
