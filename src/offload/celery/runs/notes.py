"""The note of an attempt, stored beside its progress: a state that the task set, its exception.

The worker writes it while the task runs, in a transaction of its own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from offload.celery import states
from offload.celery.encoding.values import encode
from offload.celery.exceptions import EncodeError
from offload.context import progress, running_job
from offload.progress import PLAIN_TYPES
from offload.serialization import encode_result, normalize

logger = logging.getLogger("offload.celery")

MAX_NOTE_BYTES = 100_000
"""Bytes of JSON that are kept beside the progress of a job."""
_MESSAGES = ("description", "status", "message", "step")
"""Keys of `meta` whose text is shown as the current activity, in this order."""


def note_state(state: str, meta: Any) -> None:
    """Store a state and its meta for the running job; outside one, do nothing.

    Args:
        state: any but those in which a task has finished.
        meta: a value that Celery's JSON carries; `current` and `total` are the progress.

    Raises:
        ValueError: for a state that only the end of the task can set.
        EncodeError: for another value, and if they are larger than MAX_NOTE_BYTES.
    """
    if state in states.READY_STATES:
        raise ValueError(
            f"update_state() cannot set {state}: a task has this state when it has ended. Let the "
            "task return for SUCCESS, raise an exception for FAILURE, or raise Ignore() after a "
            "state with a name of your own."
        )
    encoded = encode(meta, "meta")
    add_to_note(state=str(state), meta=encoded)
    if isinstance(meta, Mapping):
        _show_progress(meta)


def add_to_note(**values: Any) -> None:
    """Store further values for the running job, exact JSON; outside a job, do nothing.

    Raises:
        EncodeError: if they cannot be stored, or are too large together.
    """
    running = running_job()
    if running is None:
        return
    reporter = running.reporter or running.open_reporter()
    note = {**(reporter.note or {}), **values}
    try:
        for name, value in values.items():
            normalize(value, name)  # its errors name the place
        size = len(encode_result(note, max_bytes=sys.maxsize).encode())
    except (ValueError, TypeError) as error:
        raise EncodeError(str(error)) from error
    if size > MAX_NOTE_BYTES:
        raise EncodeError(
            f"The state and its meta are {size:,} bytes of JSON; at most {MAX_NOTE_BYTES:,} are "
            "kept. Store the data and put its id or path into the meta."
        )
    reporter.note = note
    if not reporter.is_changed:
        reporter.publish()


def current_note() -> Mapping[str, Any]:
    """Return what the running job has stored; nothing outside a job."""
    running = running_job()
    if running is None or running.reporter is None:
        return {}
    return running.reporter.note or {}


def _show_progress(meta: Mapping[str, Any]) -> None:
    """Show the usual keys of `meta` as the progress on the job's page."""
    done, total = meta.get("current"), meta.get("total")
    text = next((meta[key] for key in _MESSAGES if isinstance(meta.get(key), str)), "")
    if type(done) in PLAIN_TYPES and type(total) in PLAIN_TYPES:
        progress(done, total, text)
