"""Functions that each process calls once, before its first job."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("offload.worker")

type OnStart = Callable[[bool], None]
"""Called with whether the process is the first of its worker."""

_functions: list[OnStart] = []


def call_at_start(function: OnStart) -> OnStart:
    """Call a function in each process that runs jobs, when it starts; return it.

    Args:
        function: called with whether the process is the first of its worker.
    """
    _functions.append(function)
    return function


def announce_start(*, is_first: bool) -> None:
    """Call the functions; log what they raise.

    Args:
        is_first: whether the process is the first of its worker.
    """
    for function in _functions:
        try:
            function(is_first)
        except Exception:
            logger.exception("%r failed at the start of a process.", function)
