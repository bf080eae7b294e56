"""Runs a canvas in the caller's process: `apply`, and calls with `CELERY_TASK_ALWAYS_EAGER`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from offload.celery import states
from offload.celery.eager.task import run_links
from offload.celery.exceptions import chord_error
from offload.celery.result.async_result import AsyncResult
from offload.celery.result.eager_result import EagerResult
from offload.celery.result.eager_snapshots import EagerSnapshot, keep
from offload.celery.result.sets import GroupResult
from offload.celery.signatures import Signature
from offload.celery.tasks.current import get_current_app
from offload.celery.utils import uuid


@dataclass(frozen=True, slots=True)
class EagerCall:
    """What precedes a signature, and the arguments and options of its call.

    Attributes:
        failed: the task before it that failed, or raised `Ignore`, so that it does not run.
        joins: whether `failed` is part of the header of a chord whose body is to run now.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    failed: Any = None
    joins: bool = False

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return the same with other options."""
        return replace(self, options=options)

    def with_arguments(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Self:
        """Return the same with other arguments."""
        return replace(self, args=tuple(args), kwargs=kwargs)

    def after(self, result: Any, previous: Any = None, *, joins: bool = False) -> EagerCall:
        """Return what precedes the next step.

        Args:
            result: of the step that this call has run.
            previous: of the one before, which becomes its parent.
            joins: whether the next step is the body of a chord with this header.
        """
        if previous is not None:
            _put_behind(result, previous)
        failed = _find_failed(result)
        if failed is None and self.failed is None:
            return EagerCall((_value_of(result),))
        is_new = failed is not None and self.failed is None
        return EagerCall(failed=failed or self.failed, joins=joins and is_new)

    def joined_members(self, group_id: str, results: list[Any]) -> GroupResult:
        """Return what the members of a group have returned together."""
        return GroupResult(group_id, results)

    def run_task(self, signature: Signature) -> Any:
        """Run a task, unless one before it failed."""
        if self.failed is None:
            return signature.apply(self.args, self.kwargs, **self.options)
        options = {**signature.options, **self.options}
        has_failed = self.failed.state in states.PROPAGATE_STATES
        error = self.failed.result if has_failed else None
        if self.joins and has_failed:
            error = chord_error(self.failed.id, self.failed.result)
        snapshot = EagerSnapshot(
            str(options.get("task_id") or uuid()),
            states.FAILURE if has_failed else states.IGNORED,
            error,
            self.failed.traceback,
            signature.name,
        )
        keep(snapshot)
        if self.joins:
            run_links(snapshot, {"link_error": options.get("link_error")})
        return EagerResult.of(snapshot)


def is_eager() -> bool:
    """Return whether the project wants tasks to run in the caller's process."""
    return bool(get_current_app().conf.task_always_eager)


def apply_eagerly(
    signature: Signature,
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> Any:
    """Run the tasks of a signature here, in their order; return its result.

    A task behind one that failed does not run; its result has the same exception, as with workers.
    """
    return signature.run_here(EagerCall(tuple(args or ()), dict(kwargs or {}), options))


def _put_behind(result: Any, previous: Any) -> None:
    """Let the first task of those that have a result follow another one."""
    while result.parent is not None:
        result = result.parent
    result.parent = previous


def _value_of(result: Any) -> Any:
    if isinstance(result, GroupResult):
        return [_value_of(member) for member in result.results]
    return result.result


def _find_failed(result: Any) -> AsyncResult | None:
    if isinstance(result, GroupResult):
        found = (_find_failed(member) for member in result.results)
        return next((one for one in found if one is not None), None)
    return None if result.state == states.SUCCESS else result
