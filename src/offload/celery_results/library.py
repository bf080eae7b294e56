"""What this package uses of Celery; none of its other modules imports it."""

from __future__ import annotations

from typing import Any

from celery import current_app, signals, states
from celery._state import _get_active_apps as active_applications
from celery._state import get_current_task as running_task
from celery.backends.base import BaseBackend
from celery.canvas import maybe_signature
from celery.exceptions import ChordError, TimeoutError  # noqa: A004  # Celery's name
from celery.result import GroupResult, allow_join_result, result_from_tuple
from celery.utils.functional import _regen as lazy_results
from celery.utils.serialization import UnpickleableExceptionWrapper
from kombu.exceptions import OperationalError as BrokerError
from kombu.utils import json as _json

json: Any = _json
"""Untyped, as all of Celery is."""

__all__ = [
    "BaseBackend",
    "BrokerError",
    "ChordError",
    "GroupResult",
    "TimeoutError",
    "UnpickleableExceptionWrapper",
    "active_applications",
    "allow_join_result",
    "current_app",
    "json",
    "lazy_results",
    "maybe_signature",
    "result_from_tuple",
    "running_task",
    "signals",
    "states",
]
