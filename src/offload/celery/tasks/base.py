"""The base of `Task`: its options and its function."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from offload.celery.tasks.current import get_current_app
from offload.celery.tasks.hooks import Hooks
from offload.celery.tasks.request import Context, entered, request_of


class BaseTask(Hooks):
    """A function that workers run.

    The attributes are the options of the decorator, which a class of tasks may set too. If one is
    None, the setting counts.

    Attributes:
        name: its name, by which it is found; module and function if None.
        typing: whether a call with other arguments than the function takes is an error.
        max_retries: how often it is retried; None for any number.
        default_retry_delay: seconds until `retry` runs it again.
        autoretry_for, dont_autoretry_for: exceptions after which it is, and is not, retried.
        retry_kwargs: arguments of `retry` for these.
        retry_backoff: True or a factor: the delay doubles with each retry.
        retry_backoff_max: its maximum in seconds.
        retry_jitter: draw the delay from 0 up to it.
        rate_limit: how many start in a time, in all workers together: "10/m".
        time_limit: seconds after which it is stopped, if need be with its process.
        soft_time_limit: seconds after which SoftTimeLimitExceeded is raised in it.
        ignore_result: keep no result.
        expires: seconds, or a datetime, after which it does not start.
        priority: 0 to 9, the highest.
        acks_late: False runs it at most once, also if its process dies.
        throws: exceptions that are logged at the level INFO, and not as errors.
        offload_backend: the alias in TASKS of the backend with its jobs.
    """

    name: str = ""
    typing: bool = True
    max_retries: int | None = 3
    default_retry_delay: float = 180
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] | None = None
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    rate_limit: str | float | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    ignore_result: bool | None = None
    expires: Any = None
    priority: int | None = None
    queue: str | None = None
    acks_late: bool | None = None
    reject_on_worker_lost: bool | None = None
    track_started: bool | None = None
    trail: bool = True
    serializer: str | None = None
    throws: tuple[type[BaseException], ...] = ()
    abstract: bool = True
    offload_backend: str = "default"
    path_parts: tuple[str, str] = ("", "")
    """The module and the name of its function."""
    shares_its_function: bool = False
    """Whether another task has the same function, so that jobs must say which one is meant."""
    __bound__: bool = False
    _app: Any = None

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work: the function, or the method of a class of tasks."""
        raise NotImplementedError("Tasks must define the run method.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function here, as any other."""
        current = request_of(self)
        if current is not None and current.get("_enters_call"):  # a class has its own `__call__`
            current.update(_enters_call=False)
            return self.run(*args, **kwargs)
        with entered(self, Context(args=args, kwargs=kwargs)):
            return self.run(*args, **kwargs)

    def run_as_worker(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task as a worker does: by `__call__` only if a class has its own."""
        if type(self).__call__ is BaseTask.__call__:
            return self.run(*args, **kwargs)
        self.request.update(_enters_call=True)
        return self(*args, **kwargs)

    @property
    def request(self) -> Context:
        """The call of the running task; an empty one if the task does not run."""
        return request_of(self) or Context()

    @property
    def app(self) -> Any:
        """The app of the task, or the current one."""
        return self._app or get_current_app()

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    @property
    def declared_schedules(self) -> list[tuple[str, str | None, Any]]:
        """The schedules that `@schedule` has declared: name, expression, options."""
        found: list[tuple[str, str | None, Any]] = vars(self).setdefault("_schedules", [])
        return found

    def add_schedule(self, name: str, cron: str | None, options: Mapping[str, Any]) -> None:
        """Let workers enqueue it by the clock; `@schedule` above the decorator does."""
        self.declared_schedules.append((name or ".".join(self.path_parts), cron, options))

    @property
    def checked_call(self) -> Any:
        """The function, to check whether the arguments of a call fit it."""
        run: Any = inspect.unwrap(self.run)
        return CheckedCall(getattr(run, "__func__", run), self.__bound__)


class CheckedCall(NamedTuple):
    """A function, and whether its first argument is the task."""

    func: Any
    takes_context: bool
