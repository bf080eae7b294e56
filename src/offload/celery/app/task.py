"""`Task`, the class of all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from offload.celery.signatures import CANVASES, Signature, listed_signatures
from offload.celery.tasks.base import BaseTask
from offload.celery.tasks.registry import tasks
from offload.celery.tasks.request import Context, pop, push

if TYPE_CHECKING:
    from offload.celery.tasks.definition import CeleryTask


class Task(BaseTask):
    """A function that workers run, with Celery's ways of calling it.

    Its attributes are those of `BaseTask`, the options of `shared_task`.
    """

    # --- calling ------------------------------------------------------------------------------

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue the task in the caller's transaction; return an `AsyncResult`."""
        return self.apply_async(args, kwargs)

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """Do what `delay` does: a job is part of the transaction. The id is known at once."""
        return self.apply_async(args, kwargs)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """Do what `apply_async` does."""
        return self.apply_async(*args, **kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue the task in the caller's transaction.

        Args:
            args, kwargs: the arguments.
            task_id: an id of one's own, a UUID or other text.
            producer: not used.
            link, link_error: signatures that follow, or follow if it fails.
            shadow: another name for logs.
            options: countdown, eta, expires, queue, priority, headers, time_limit,
                soft_time_limit, ignore_result. Those about messages are not used.

        Returns:
            AsyncResult: of the task; an EagerResult with `CELERY_TASK_ALWAYS_EAGER`.

        Raises:
            TypeError: if the function does not take the arguments.
            EncodeError: for a value that Celery's JSON does not carry.
            Exception: those of `enqueue`.
        """
        from offload.celery.calls.call import Call
        from offload.celery.canvas.links import enqueue

        options = {**options, "shadow": shadow}
        if self.app.conf.task_always_eager:
            throw = bool(self.app.conf.task_eager_propagates)
            further = {"task_id": task_id, "link": link, "link_error": link_error}
            return self.apply(args, kwargs, throw=throw, **further, **options)
        call = Call.of(args, kwargs, task_id, options)
        return enqueue(self, call, link, link_error)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        throw: bool | None = None,
        **options: Any,
    ) -> Any:
        """Run the task here, with its retries; return an `EagerResult`.

        Args:
            args, kwargs: the arguments.
            throw: raise its exception; the setting `task_eager_propagates` if None.
            options: those of `apply_async`.
        """
        from offload.celery.calls.call import checked_arguments
        from offload.celery.eager.task import run_here

        for name in ("link", "link_error"):
            listed_signatures(options.get(name))  # which refuses what is none
        if throw is None:
            throw = bool(self.app.conf.task_eager_propagates)
        return run_here(self, *checked_arguments(args, kwargs), options, throw=throw)

    # --- signatures ---------------------------------------------------------------------------

    def s(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature of a call with these arguments."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature that takes no further arguments."""
        return self.signature(args, kwargs, immutable=True)

    def signature(self, args: Any = None, *further: Any, **options: Any) -> Any:
        """Return a signature; the arguments are those of `Signature`."""
        return Signature(self, args, *further, **options)

    subtask = signature

    def map(self, it: Iterable[Any]) -> Any:
        """Return a signature that calls the task for each item, in one job."""
        return CANVASES["celery.map"](self, it)

    def starmap(self, it: Iterable[Any]) -> Any:
        """Return a signature that calls the task for each list of arguments, in one job."""
        return CANVASES["celery.starmap"](self, it)

    def chunks(self, it: Iterable[Any], n: int) -> Any:
        """Return a signature that does what `starmap` does in jobs of `n` calls each."""
        return CANVASES["celery.chunks"](self, it, n)

    # --- the running task ---------------------------------------------------------------------

    def push_request(self, **values: Any) -> None:
        """Make a call the current one, as tests need it."""
        push(self, Context(**values))

    def pop_request(self) -> None:
        """End what `push_request` has begun."""
        pop()

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | str | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """Run the task again later; it raises, so write `raise self.retry(...)`.

        Args:
            args, kwargs: the same arguments as before, or None.
            exc: why the task runs again; raised after the last retry.
            throw: raise the Retry, or return it; the task runs again when this attempt has ended.
            eta, countdown: when; `default_retry_delay` if both are None. An `eta` without a time
                zone is one of the setting `timezone`.
            max_retries: that of the task if None.
            options: not used; the job keeps its queue, priority and limits, which the log says.

        Raises:
            Retry: to end this attempt.
            MaxRetriesExceededError: after the last retry, without `exc`.
            NotImplementedError: for other arguments than before.
        """
        from offload.celery.calls.times import aware, zone_of
        from offload.celery.exceptions import Retry
        from offload.celery.runs.retries import make_retry, warn_of_unused

        request = self.request
        if request.called_directly:
            raise exc or Retry("Task can be retried", None)
        _require_same(request, args, kwargs)
        limit = self.max_retries if max_retries is None else max_retries
        when = countdown if eta is None else aware(eta, zone_of(self.app.conf))
        retry = make_retry(self, exc, self.default_retry_delay if when is None else when, limit)
        warn_of_unused(self, options)
        request.asked_retry = retry  # honoured also if the task catches it
        if throw:
            raise retry from exc
        return retry

    def replace(self, sig: Any) -> Any:
        """Let something else take the place of the running task; its result is that of this id.

        The transaction that ends the running task enqueues the others, each with its own id.

        Args:
            sig: the signature of a task, a chain, a group or a chord.

        Raises:
            TypeError: for something else than a signature.
            ValueError: for a chain without tasks.
        """
        from offload.celery.canvas.replacing import replacement_by

        replacement = replacement_by(sig, self.request)
        if not self.request.called_directly:
            raise replacement
        return replacement.add()

    def add_to_chord(self, sig: Any, lazy: bool = False) -> Any:
        """Raise NotImplementedError: the header of a chord cannot grow."""
        raise NotImplementedError(
            "add_to_chord() does not exist here: the body of a chord waits for the tasks that the "
            "chord was made with. Let a task of a workflow add jobs by current_workflow()."
        )

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **_: Any
    ) -> None:
        """Set a state of one's own for the running task; it is visible at once.

        Args:
            task_id: of the running task, or None.
            state: such as "PROGRESS".
            meta: what `AsyncResult.info` returns; `current` and `total` are shown as progress.

        Raises:
            ValueError: for a state that only the end of a task sets, and for another task.
        """
        from offload.celery.runs.notes import note_state

        own = self.request.id
        if task_id is not None and str(task_id) != own:
            raise ValueError(
                f"update_state() can set the state of the running task {own} only, not that of "
                f"{task_id}."
            )
        note_state(state or "PROGRESS", meta)

    def AsyncResult(self, task_id: str, **kwargs: Any) -> Any:  # noqa: N802  # Celery's name
        """Return the result of a task with this id."""
        from offload.celery.result.async_result import AsyncResult

        return AsyncResult(task_id, task_name=self.name, **kwargs)

    # --- its definition -----------------------------------------------------------------------

    @property
    def OperationalError(self) -> type[BaseException]:  # noqa: N802  # Celery's name
        """What `delay` raises if the database does not respond."""
        from offload.exceptions import QueueUnavailable

        return QueueUnavailable

    @property
    def MaxRetriesExceededError(self) -> type[BaseException]:  # noqa: N802  # Celery's name
        """What `retry` raises after the last retry."""
        from offload.celery.exceptions import MaxRetriesExceededError

        return MaxRetriesExceededError

    @property
    def definition(self) -> CeleryTask:
        """The task of django-offload that workers find and run; made when it is first needed."""
        made: CeleryTask | None = vars(self).get("_definition")
        if made is None:
            from offload.celery.runs.job_function import job_function
            from offload.celery.tasks.definition import define

            made = self._definition = define(self, job_function(self))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return tasks.__getitem__, (self.name,)

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"


def _require_same(request: Context, args: Any, kwargs: Any) -> None:
    is_same = args is None or list(args) == list(request.args or ())
    if not is_same or not (kwargs is None or dict(kwargs) == dict(request.kwargs or {})):
        raise NotImplementedError(
            "retry() cannot change the arguments of a job. Call apply_async() with the others, and "
            "return."
        )
