"""Policies: how long to wait after a failure, and which jobs are made, run and wait."""

from offload.policies.backoff import DEFAULT_BACKOFF, Backoff, Exponential, Fixed
from offload.policies.limits import Concurrency, Fair, Rate
from offload.policies.unique import Debounce, Throttle, Unique

__all__ = [
    "DEFAULT_BACKOFF",
    "Backoff",
    "Concurrency",
    "Debounce",
    "Exponential",
    "Fair",
    "Fixed",
    "Rate",
    "Throttle",
    "Unique",
]
