"""The limit of a task, and the key of each of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django.tasks.exceptions import InvalidTask
from django.utils.module_loading import import_string

from offload.policies import Concurrency, Fair, Rate
from offload.policies.keys import MAX_NAME_LENGTH
from offload.policies.limits import MAX_NUMBER, MAX_WEIGHT
from offload.task_keys import CallArguments, names_in, shortened
from offload.timestamps import now_microseconds

if TYPE_CHECKING:
    from offload.policies.keys import Key
    from offload.policies.limits import Weight


class LimitOptions(NamedTuple):
    """The options of a task that its limit is made of."""

    function: Callable[..., Any]
    takes_context: bool
    concurrency: Concurrency | None
    rate: Rate | None
    fair: Fair | None


class TaskLimit:
    """The limit of a task, made of its options `concurrency`, `rate` and `fair`.

    Args:
        options: of the task.
        path: the task's path, which names a limit without a name.
        backend: the task's backend.

    Attributes:
        options: of the task.
        path: the task's path.
        backend: the alias of the task's backend.
        name: the limit's name.
        numbers: the limit's numbers, by the names of `LimitNumbers`.
        number_path: the dotted path of the callable that gives the number of a key; may be empty.
        weight_path: that of the callable that gives the weight of a key; may be empty.

    Raises:
        InvalidTask: if the options contradict each other or the task's arguments.
    """

    def __init__(self, options: LimitOptions, path: str, backend: str) -> None:
        self.options = options
        self.path = path
        self.backend = backend
        self.name = self._common_name() or shortened(path, MAX_NAME_LENGTH)
        self._arguments = CallArguments(
            options.function,
            path,
            takes_context=options.takes_context,
            of="limit",
            name=self.name,
        )
        self._key = self._common_key()
        self._arguments.require_names(self._key, without="one limit on all jobs")
        self.numbers: dict[str, Any] = dict(self._numbers(options.concurrency, options.rate))
        if options.fair is not None:
            self.numbers |= _weight_numbers(options.fair.weight)
        self.number_path: str = self.numbers.get("max_running_path", "")
        self.weight_path: str = self.numbers.get("weight_path", "")

    @property
    def has_key(self) -> bool:
        """Whether a key divides the jobs."""
        return bool(self._key)

    @property
    def uses_tenant(self) -> bool:
        """Whether the key names the job's tenant, and no argument of that name."""
        fields = names_in(self._key) if isinstance(self._key, str) else []
        return "tenant" in fields and not self._arguments.has("tenant")

    def key(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, tenant: str, owner: str
    ) -> str:
        """Return the key of a job.

        Raises:
            InvalidTask: if the key cannot be made of the arguments.
        """
        return self._arguments.key(self._key, args, kwargs, tenant=tenant, owner=owner)

    def maximum(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
        """Return the number of a job's own key; None if the limit has one number for all keys.

        Raises:
            InvalidTask: if the callable that gives the number fails, or returns no number.
        """
        if not self.number_path:
            return None
        return self._call("number", self.number_path, args, kwargs, range(MAX_NUMBER + 1))

    def weight(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
        """Return the weight of a job's own key; None if the limit has one weight for all keys.

        Raises:
            InvalidTask: if the callable that gives the weight fails, or returns no weight.
        """
        if not self.weight_path or self.options.fair is None:
            return None
        source = self.options.fair.weight
        return self._call("weight", source, args, kwargs, range(1, MAX_WEIGHT + 1))

    def _call(
        self,
        what: str,
        source: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        allowed: range,
    ) -> int:
        """Return what a callable, or the callable with a path, returns for a job's arguments."""

        def call(*args: Any, **kwargs: Any) -> Any:
            function = import_string(source) if isinstance(source, str) else source
            return function(*args, **kwargs)

        number = self._arguments.call(f"The {what} {source!r}", call, args, kwargs)
        if type(number) is not int or number not in allowed:
            raise InvalidTask(
                f"{source!r}, of the limit {self.name!r}, must return a whole number from "
                f"{allowed[0]} to {allowed[-1]:,}, not {number!r}."
            )
        return number

    def _common_key(self) -> Key:
        keys: list[Key] = []
        for policy in self.options[2:]:
            if policy is not None and policy.key and policy.key not in keys:
                keys.append(policy.key)
        if len(keys) > 1:
            raise InvalidTask(
                f"concurrency, rate and fair must have the same key, not {keys[0]!r} and "
                f"{keys[1]!r}. For a number of all keys together, leave the key out."
            )
        return keys[0] if keys else ""

    def _common_name(self) -> str:
        policies = (self.options.concurrency, self.options.rate)
        names = sorted({policy.name for policy in policies if policy is not None and policy.name})
        if len(names) > 1:
            raise InvalidTask(
                f"concurrency and rate must have the same name, not {names[0]!r} and {names[1]!r}."
            )
        return names[0] if names else ""

    def _numbers(
        self, concurrency: Concurrency | None, rate: Rate | None
    ) -> Iterator[tuple[str, int | str]]:
        """Yield the numbers; one without a key, beside one that has a key, is about all keys."""
        if concurrency is not None:
            if isinstance(concurrency.maximum, str):
                yield "max_running_path", concurrency.maximum
            else:
                is_total = self.has_key and not concurrency.key
                yield "total" if is_total else "max_running", concurrency.maximum
            if concurrency.total is not None:
                yield "total", concurrency.total
        if rate is not None:
            prefix = "total_" if self.has_key and not rate.key else ""
            yield f"{prefix}interval", rate.interval
            yield f"{prefix}burst", rate.starts_at_once


LOADED_AT = now_microseconds()
"""When this process, or the one that it was forked from, loaded its code, in microseconds."""

_defined: dict[str, TaskLimit] = {}
"""The limits of the tasks that this process has loaded, by the path of the task."""
_observers: list[Callable[[], object]] = []


def limit_of(task: Any) -> TaskLimit | None:
    """Return the limit of a task; None if it has none, as Django's own tasks.

    Raises:
        InvalidTask: as `TaskLimit`.
    """
    concurrency = getattr(task, "concurrency", None)
    rate = getattr(task, "rate", None)
    fair = getattr(task, "fair", None)
    if concurrency is None and rate is None and fair is None:
        return None
    if isinstance(rate, str):
        rate = Rate(rate)
    if isinstance(fair, str):
        fair = Fair(fair)
    options = LimitOptions(task.func, task.takes_context, concurrency, rate, fair)
    path = task.module_path
    known = _defined.get(path)
    if known is None or known.options != options:
        known = _defined[path] = TaskLimit(options, path, task.backend)
        for notify in _observers:
            notify()
    return known


def defined_limits() -> list[TaskLimit]:
    """Return the limits of the tasks that this process has loaded."""
    return list(_defined.values())


def observe_limits(notify: Callable[[], object]) -> None:
    """Call a function whenever this process loads another task with a limit."""
    _observers.append(notify)


def _weight_numbers(weight: Weight) -> dict[str, int | str]:
    if isinstance(weight, int):
        return {"weight": weight} if weight != 1 else {}
    return {"weight_path": weight if isinstance(weight, str) else _path_of(weight)}


def _path_of(function: Callable[..., Any]) -> str:
    """Return the path of a callable, as text for people; also for a partial or an instance."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
