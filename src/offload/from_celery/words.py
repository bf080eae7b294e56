"""Words for times."""

from __future__ import annotations

from datetime import timedelta

from offload.schedules.words import interval_in_words

MICROSECOND = timedelta(microseconds=1)


def interval_words(every: timedelta) -> str:
    """Return what an interval means, such as "every 5 minutes"."""
    return interval_in_words(every // MICROSECOND).lower()
