"""Claimed jobs made by hand, and their execution without a worker."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from offload.lifecycle import Outcome
from offload.store.records import ClaimedJob
from offload.uuid7 import new_id
from offload.worker.execution.executor import execute, execute_async
from offload.worker.execution.job_run import never_cancelled


def claimed(task: Any, *args: Any, **changes: Any) -> ClaimedJob:
    """Return a job of a task, or of a dotted path, as a worker would claim it."""
    path = task if isinstance(task, str) else task.module_path
    now = time.time_ns() // 1000
    values: dict[str, Any] = {
        "id": new_id().hex,
        "fence": 1,
        "attempt": 1,
        "task_path": path,
        "arguments": json.dumps([args, {}]),
        "is_async": inspect.iscoroutinefunction(getattr(task, "func", None)),
        "backend": "default",
        "queue_name": getattr(task, "queue_name", "default"),
        "priority": 0,
        "run_after": now,
        "expires_at": None,
        "enqueued_at": now,
        "started_at": now,
        "last_attempted_at": now,
        "timeout": None,
        "max_attempts": getattr(task, "max_attempts", None) or 1,
        "worker_losses": 0,
        "max_worker_losses": 3,
        "owner": "",
        "tenant": "",
        "request_id": "",
        "failure_depth": 0,
        "worker": new_id().hex,
    }
    return ClaimedJob(**{**values, **changes})


def run(job: ClaimedJob, is_cancelled: Callable[[], bool] = never_cancelled) -> Outcome:
    """Execute a job in this thread, in a context of its own."""
    gate = contextlib.nullcontext()
    if job.is_async:
        return asyncio.run(execute_async(job, gate, is_cancelled))
    call = partial(execute, job, gate, is_cancelled, using="default")
    return contextvars.copy_context().run(call)
