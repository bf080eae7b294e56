"""Runs a task with its hooks and signals, inside the attempt of a worker or eagerly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from traceback import format_exception
from types import TracebackType
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from offload.celery import signals, states
from offload.celery.encoding.errors import describe
from offload.celery.encoding.values import encode, encode_for_others
from offload.celery.exceptions import (
    EncodeError,
    Ignore,
    Reject,
    Retry,
    TaskPredicate,
    TimeLimitExceeded,
)
from offload.celery.runs.notes import add_to_note, current_note
from offload.celery.runs.replacing import Replacement
from offload.celery.runs.retries import as_engine_retry, automatic_retry
from offload.celery.runs.soft_limits import soft_limit, soft_limit_of_coroutine
from offload.celery.tasks.hooks import overrides_hooks
from offload.celery.tasks.request import Context, entered
from offload.context import running_job
from offload.exceptions import Interruption, JobTimeout, Snooze
from offload.exceptions import Retry as EngineRetry

if TYPE_CHECKING:
    from offload.celery.tasks.base import BaseTask

logger = logging.getLogger("offload.celery")

MAX_CHILDREN = 1000
"""How many of the tasks that a task has called are kept with it."""


class ExceptionInfo:
    """An exception and its traceback as text, for hooks and signals: `einfo`.

    Attributes:
        type, exception, tb: the exception.
    """

    def __init__(self, error: BaseException) -> None:
        self.type = type(error)
        self.exception = error
        self.tb: TracebackType | None = error.__traceback__

    @cached_property
    def traceback(self) -> str:
        """The traceback as text."""
        return "".join(format_exception(self.exception))

    def __str__(self) -> str:
        return self.traceback


class Attempt:
    """One run of a task, around its code.

    Args:
        task: the task.
        request: the call.
    """

    def __init__(self, task: BaseTask, request: Context) -> None:
        self.task = task
        self.request = request
        self._started_at = time.monotonic()
        self._is_in_code = False
        self._hook_args: tuple[Any, Any, Any] = (request.id, request.args, request.kwargs)

    def run(self) -> Any:
        """Run the task; return its result as plain JSON.

        Raises:
            BaseException: what the task raises, or what tells the worker to run it again.
        """
        with entered(self.task, self.request):
            self.announce()
            try:
                self.task.before_start(*self._hook_args)
                self._is_in_code = True
                with soft_limit(self.request.soft_time_limit):
                    value = self.task.run_as_worker(*self.request.args, **self.request.kwargs)
                self._is_in_code = False
                encoded = self.encode(value)
            except BaseException as error:  # noqa: BLE001  # any exception becomes an outcome
                if not isinstance(error, Replacement):
                    return self.fail(error)
                return self._add(error.add)
            self.succeed(value)
            return encoded

    async def arun(self) -> Any:
        """Do what `run` does, for a task written with `async def`."""
        with entered(self.task, self.request):
            await self._call(self.announce)
            try:
                await self._call(self.task.before_start, *self._hook_args)
                self._is_in_code = True
                async with soft_limit_of_coroutine(self.request.soft_time_limit):
                    value = await self.task.run_as_worker(*self.request.args, **self.request.kwargs)
                self._is_in_code = False
                encoded = self.encode(value)
            except BaseException as error:  # noqa: BLE001  # any exception becomes an outcome
                if not isinstance(error, Replacement):
                    return await self._call(self.fail, error)
                return await sync_to_async(self._add)(error.add)
            await self._call(self.succeed, value)
            return encoded

    def announce(self) -> None:
        """Send the signals before the task runs."""
        signals.task_received.send(self.task, request=self.request)
        self._send(signals.task_prerun)

    def encode(self, value: Any) -> Any:
        """Return the result as plain JSON; EncodeError for one that cannot be stored.

        An ignored result is kept in a workflow only, whose other tasks may have it as an argument.
        """
        request = self.request
        if not request.ignore_result:
            return encode(value, "return value")
        if request.is_eager:
            return value
        running = running_job()
        is_part = running is not None and running.workflow is not None
        return encode_for_others(value, "return value") if is_part else None

    def succeed(self, value: Any) -> None:
        """Call the hooks and receivers of a task that returned; what they raise is logged.

        Raises:
            RetryLater: if the task has called `retry(throw=False)`.
        """
        if self.request.asked_retry is not None:
            self._retry(self.request.asked_retry)
        runtime = time.monotonic() - self._started_at
        self._call_hook("on_success", value, *self._hook_args)
        signals.task_success.send(self.task, result=value, runtime=runtime)
        self._finish(states.SUCCESS, value, None)

    def fail(self, error: BaseException) -> None:
        """Call the hooks and receivers of a task that raised; then raise for the worker.

        It returns for `Ignore`, whose job has no result; eagerly it raises that, too.
        """
        if self._will_be_called_again(error):
            raise error
        if isinstance(error, Interruption) and not isinstance(error, JobTimeout):
            _keep_quietly(told=True)
            self._send_revoked()
            raise error
        error = self._or_retry(error)
        if isinstance(error, Ignore):
            self._finish(states.IGNORED, None, None)
            self._end_without_result(error)
            return
        if isinstance(error, Retry):
            self._retry(error)
        if isinstance(error, EngineRetry | Snooze):
            self._finish(states.RETRY, error, ExceptionInfo(error))
            raise error
        if isinstance(error, Reject) and error.requeue:
            self._put_back(error)
        if not isinstance(error, Exception | JobTimeout):
            raise error
        self._give_up(error)

    def _end_without_result(self, ignore: Ignore) -> None:
        """Let nothing follow the task, which is what Celery does."""
        if self.request.is_eager:
            raise ignore
        add_to_note(state=current_note().get("state", states.IGNORED), ignored=True)
        running = running_job()
        if running is not None and running.workflow is not None:
            running.is_skipped = True

    def _or_retry(self, error: BaseException) -> BaseException:
        """Return what becomes of an exception: `autoretry_for` is about the task's own code."""
        asked = self.request.asked_retry
        if asked is not None and isinstance(error, Exception) and not isinstance(error, Retry):
            if asked.exc is None and not isinstance(error, TaskPredicate):
                asked.exc = error
            return asked  # type: ignore[no-any-return]
        return automatic_retry(self.task, error) if self._is_in_code else error

    def _will_be_called_again(self, error: BaseException) -> bool:
        """Return whether the worker calls the task again at once, as it has met SQLite's lock."""
        running = running_job()
        if running is None or self.request.is_eager or not isinstance(error, Exception):
            return False
        return running.will_be_called_again(error)

    def _put_back(self, reject: Reject) -> None:
        signals.task_rejected.send(self.task, message=None, exc=reject)
        self._finish(states.REJECTED, reject, None)
        if self.request.is_eager:  # there is no queue
            raise reject
        raise Snooze(0) from reject

    def _retry(self, retry: Retry) -> None:
        info = ExceptionInfo(retry)
        cause = retry.exc or retry
        _keep_quietly(exception=describe(cause), state=None)
        self._call_hook("on_retry", cause, *self._hook_args, info)
        signals.task_retry.send(self.task, request=self.request, reason=retry, einfo=info)
        self._finish(states.RETRY, retry, info)
        raise as_engine_retry(self.task, retry) from retry.exc

    def _give_up(self, error: BaseException) -> None:
        shown = error
        if isinstance(error, JobTimeout):
            shown = TimeLimitExceeded(self.request.time_limit)
        info = ExceptionInfo(error)
        _keep_quietly(exception=describe(error), state=None, told=True)
        self._call_hook("on_failure", shown, *self._hook_args, info)
        signals.task_failure.send(
            self.task,
            task_id=self.request.id,
            exception=shown,
            args=self.request.args,
            kwargs=self.request.kwargs,
            traceback=error.__traceback__,
            einfo=info,
        )
        self._finish(states.FAILURE, shown, info)
        raise error

    def _add(self, add: Callable[[], Any]) -> Any:
        """Let other tasks take the place of this one; return what the job returns."""
        try:
            value = add()
            if self.request.is_eager:
                value = self.encode(value)
        except BaseException as error:  # noqa: BLE001  # any exception becomes an outcome
            return self.fail(error)
        self._finish(states.IGNORED, None, None)
        return value

    def _finish(self, state: str, value: Any, info: ExceptionInfo | None) -> None:
        if self.request.children:
            _keep_quietly(children=[child.id for child in self.request.children[:MAX_CHILDREN]])
        if state in {states.SUCCESS, states.FAILURE}:
            self._call_hook("after_return", state, value, *self._hook_args, info)
        self._send(signals.task_postrun, retval=value, state=state)

    def _send(self, signal: signals.Signal, **named: Any) -> None:
        request = self.request
        signal.send(
            self.task,
            task_id=request.id,
            task=self.task,
            args=request.args,
            kwargs=request.kwargs,
            **named,
        )

    def _send_revoked(self) -> None:
        signals.task_revoked.send(
            self.task, request=self.request, terminated=True, signum=None, expired=False
        )

    def _call_hook(self, name: str, *args: Any) -> None:
        """Call a hook; the outcome of the task stands, so what it raises is only logged."""
        try:
            getattr(self.task, name)(*args)
        except Exception:
            logger.exception("%s() of the task %s failed.", name, self.task.name)

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call hooks and receivers of an async task in a thread, as they may use the ORM."""
        if overrides_hooks(self.task) or any(signal.receivers for signal in _SIGNALS):
            return await sync_to_async(function)(*args)
        return function(*args)


def _keep_quietly(**values: Any) -> None:
    """Keep what is known of the end of an attempt, unless it is too large to be stored."""
    with suppress(EncodeError):
        add_to_note(**values)


_SIGNALS = (
    signals.task_received,
    signals.task_prerun,
    signals.task_postrun,
    signals.task_success,
    signals.task_failure,
    signals.task_retry,
    signals.task_rejected,
    signals.task_revoked,
)
