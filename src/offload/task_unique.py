"""What is unique about the jobs of a task, and the key of each of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.tasks.exceptions import InvalidTask

from offload.durations import seconds
from offload.lifecycle import JobState
from offload.policies import Debounce, Throttle, Unique
from offload.policies.keys import MAX_NAME_LENGTH
from offload.task_keys import MAX_KEY_LENGTH, CallArguments, shortened

if TYPE_CHECKING:
    from offload.policies.unique import OnConflict

type Policy = Unique | Debounce | Throttle
"""The option `unique` of a task."""

_UNTIL = {"finished": JobState.SUCCESSFUL, "started": JobState.RUNNING}


class UniqueOptions(NamedTuple):
    """The options of a task that make its jobs unique."""

    function: Callable[..., Any]
    takes_context: bool
    policy: Policy


class TaskUnique:
    """What is unique about the jobs of a task.

    Args:
        options: of the task.
        path: the task's path, which begins the keys of a policy without a name.
        backend: the task's backend.

    Attributes:
        options: of the task.
        path: the task's path.
        backend: the alias of the task's backend.
        name: begins all keys.
        until: the first state in which a job no longer holds its key.
        within: for how long it holds the key at least, from its enqueueing; None for no time.
        on_conflict: what a call does whose key another job holds.
        delay: the time from the last call to the start; None without a debounce.
        maximum: the time from the first call to the start; None for any.

    Raises:
        InvalidTask: if the key does not fit the task's arguments.
    """

    def __init__(self, options: UniqueOptions, path: str, backend: str) -> None:
        policy = options.policy
        self.options = options
        self.path = path
        self.backend = backend
        self.name = getattr(policy, "name", "") or shortened(path, MAX_NAME_LENGTH)
        self.within: timedelta | None = None
        self.on_conflict: OnConflict = "return"
        self.delay: timedelta | None = None
        self.maximum: timedelta | None = None
        match policy:
            case Unique():
                self.until = _UNTIL[policy.until]
                self.within = _duration(policy.within)
                self.on_conflict = policy.on_conflict
            case Debounce():
                self.until = JobState.RUNNING
                self.on_conflict = "replace"
                self.delay = _duration(policy.delay)
                self.maximum = _duration(policy.maximum)
            case Throttle():
                self.until = JobState.RUNNING
                self.within = _duration(policy.period)
        self._arguments = CallArguments(
            options.function,
            path,
            takes_context=options.takes_context,
            of="unique job",
            name=self.name,
        )
        self._arguments.require_names(policy.key, without="a key of all arguments")

    @property
    def replaces(self) -> bool:
        """Whether a call replaces the arguments of the waiting job that holds its key."""
        return self.on_conflict == "replace"

    def key(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, tenant: str, owner: str
    ) -> str:
        """Return the key of a job, whose arguments are exact JSON.

        Without a key it is made of all arguments and of the tenant, as what a job does may depend
        on it.

        Raises:
            InvalidTask: if the key cannot be made of the arguments.
        """
        if self.options.policy.key:
            policy_key = self.options.policy.key
            return self._arguments.key(policy_key, args, kwargs, tenant=tenant, owner=owner)
        given: Any = self._arguments.given(args, kwargs)
        text = json.dumps([tenant, given] if tenant else given, sort_keys=True, ensure_ascii=False)
        return f"{self.name}:{shortened(text, MAX_KEY_LENGTH)}"


_defined: dict[str, TaskUnique] = {}
"""What is unique about the jobs of the tasks that this process has loaded, by path."""


def unique_of(task: Any) -> TaskUnique | None:
    """Return what is unique about the jobs of a task; None if nothing is, as of Django's own tasks.

    Raises:
        InvalidTask: as `TaskUnique`.
    """
    policy = getattr(task, "unique", None)
    if policy is None:
        return None
    if isinstance(policy, Debounce) and task.run_after is not None:
        raise InvalidTask(
            f"run_after cannot be set for {task.module_path!r}: its Debounce decides when a job "
            "starts."
        )
    options = UniqueOptions(task.func, task.takes_context, policy)
    path = task.module_path
    known = _defined.get(path)
    if known is None or known.options != options:
        known = _defined[path] = TaskUnique(options, path, task.backend)
    return known


def defined_unique_tasks() -> list[TaskUnique]:
    """Return what is unique about the jobs of the tasks that this process has loaded."""
    return list(_defined.values())


def _duration(value: timedelta | float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=seconds(value))
