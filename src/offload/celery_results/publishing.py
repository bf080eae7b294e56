"""Adds a row for each message that is sent, so that a queued task is told apart from none."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from offload.celery_results.channel import Channel
from offload.celery_results.ids import is_own_text
from offload.celery_results.library import json, running_task, signals
from offload.celery_results.meta import progress_text
from offload.celery_results.rows import HEADER, attempts_before, caller_header, sent_row, time_in

if TYPE_CHECKING:
    from offload.store.records import NewJob


class _Call(threading.local):
    """The message that this thread is sending."""

    channel: Channel | None = None
    task_id: str | None = None
    row: NewJob | None = None
    retries: dict[str, int]
    """When the next attempt of a task that runs here may start, in microseconds."""

    def __init__(self) -> None:
        self.retries = {}


_call = _Call()


def expect_message(channel: Channel, task_id: str) -> None:
    """Note that this thread is about to send a message, and how it writes."""
    _call.channel, _call.task_id, _call.row = channel, task_id, None


def take_retry_time(task_id: str) -> int | None:
    """Return when the message about the next attempt, which this thread has sent, may be run."""
    return _call.retries.pop(task_id, None)


@signals.before_task_publish.connect(weak=False)  # type: ignore[untyped-decorator]
def _before_publish(
    body: Any = None,
    headers: Any = None,
    properties: Any = None,
    routing_key: str | None = None,
    exchange: Any = None,
    **_kwargs: Any,
) -> None:
    if not _is_expected(headers):
        return
    headers[HEADER] = caller_header()
    if before := _attempts_before(headers):
        headers[HEADER]["after"] = before
    if headers.get("retries"):  # the task has a row, and the worker writes RETRY into it
        eta = time_in(headers.get("eta"))
        if eta is not None:
            _call.retries = {headers["id"]: eta}
        _call.channel = None
        return
    queue = routing_key or getattr(exchange, "name", exchange) or ""
    _call.row = sent_row(headers, body, properties or {}, str(queue))


@signals.after_task_publish.connect(weak=False)  # type: ignore[untyped-decorator]
def _after_publish(headers: Any = None, **_kwargs: Any) -> None:
    channel, row = _call.channel, _call.row
    if channel is None or row is None or not _is_expected(headers):
        return
    _call.channel = _call.row = None
    task_id = headers["id"]
    progress = progress_text(json.dumps({"task_id": task_id})) if is_own_text(task_id) else None
    channel.add(row, progress)


def _attempts_before(headers: Mapping[str, Any]) -> int:
    """Return the attempts that a message does not count, as `replace()` begins to count anew."""
    request = getattr(running_task(), "request", None)
    if request is None or request.id != headers["id"]:
        return 0
    retries = 0 if headers.get("retries") else int(request.retries or 0)
    return attempts_before(request) + retries


def _is_expected(headers: Any) -> bool:
    if _call.channel is None or not isinstance(headers, Mapping):
        return False
    return headers.get("id") == _call.task_id
