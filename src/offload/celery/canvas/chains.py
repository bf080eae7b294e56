"""`chain`: tasks that follow each other, each with the result of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Self

from offload.celery.canvas.chords import chord
from offload.celery.canvas.groups import group, is_empty, is_list, only_member
from offload.celery.signatures import Signature, canvas, listed_signatures, maybe_signature

if TYPE_CHECKING:
    from offload.celery.canvas.plans import Added, Before, Plan
    from offload.celery.eager.canvas import EagerCall

_OF_LAST = ("task_id", "group_id", "chord")
"""Options of a chain that are those of its last task; all others are those of its first."""


@canvas
class chain(Signature):  # noqa: N801  # Celery's name
    """Tasks that follow each other: each gets the result of the one before as first argument.

        chain(add.s(2, 2), add.s(4), add.s(8))()

    It is the same as `add.s(2, 2) | add.s(4) | add.s(8)`. A task that follows a group gets the list
    of its results.

    Args:
        members: signatures, or one list or generator of them.
        options: those of `apply_async`, for the first task.
    """

    kind = "chain"
    has_members = True

    def __new__(cls, *members: Any, **options: Any) -> Any:
        if members and not options and (len(members) > 1 or is_list(members[0])):
            return folded(members[0] if len(members) == 1 else members)
        return super().__new__(cls)

    def __init__(self, *members: Any, app: Any = None, **options: Any) -> None:
        if "task" in self:  # `__new__` has made it of its members
            return
        listed = members[0] if len(members) == 1 and is_list(members[0]) else members
        steps = [maybe_signature(member) for member in listed]
        super().__init__("celery.chain", (), {"tasks": steps}, options, subtask_type="chain")

    @property
    def tasks(self) -> list[Signature]:
        """The steps."""
        return self.kwargs["tasks"]  # type: ignore[no-any-return]

    @tasks.setter
    def tasks(self, steps: Iterable[Signature]) -> None:
        self.kwargs["tasks"] = list(steps)

    @property
    def name(self) -> str:
        """The name of its last task."""
        return self.tasks[-1].name if self.tasks else self.task

    @property
    def app(self) -> Any:
        return self.tasks[0].app

    def take_members(self) -> None:
        self.tasks = [maybe_signature(step, clone=True) for step in self.tasks]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it, with further arguments for the first task; do nothing if it is empty."""
        return self.apply_async(args, kwargs) if self.tasks else None

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue all tasks in one transaction; return the result of the last one.

        The results before it are its `parent`, the parent of that, and so on.

        Args:
            args, kwargs: further arguments of the first task.
            options: those of the first task; `task_id` and `link` of the last one; `link_error`
                follows whichever fails.
        """
        from offload.celery.canvas.plans import publish_canvas
        from offload.celery.eager.canvas import apply_eagerly, is_eager

        if not self.tasks:
            return None
        if is_eager():
            return apply_eagerly(self, args, kwargs, options)
        return publish_canvas(self, args, kwargs, options)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run it here; return the `EagerResult` of the last task."""
        from offload.celery.eager.canvas import apply_eagerly

        return apply_eagerly(self, args, kwargs, options) if self.tasks else None

    def add_to(self, plan: Plan, before: Before) -> Added:
        called = self.with_options(before.options)
        errbacks = listed_signatures(called.options.pop("link_error", None))
        steps, of_first, of_last = called.split_options()
        if not self.immutable:
            before = before.with_arguments((*before.args, *self.args), before.kwargs)
        added: list[Added] = []
        for number, step in enumerate(steps, start=1):
            own = {**(of_first if number == 1 else {}), **(of_last if number == len(steps) else {})}
            added.append(step.add_to(plan, before.with_options(own)))
            before = plan.after(added[-1])
        return plan.joined_steps(added, errbacks)

    def run_here(self, call: EagerCall) -> Any:
        steps, of_first, of_last = self.with_options(call.options).split_options()
        if not self.immutable:
            call = call.with_arguments((*call.args, *self.args), call.kwargs)
        result: Any = None
        for number, step in enumerate(steps, start=1):
            own = {**(of_first if number == 1 else {}), **(of_last if number == len(steps) else {})}
            previous, result = result, step.run_here(call.with_options(own))
            call = call.after(result, previous)
        return result

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return a copy with further options of a call."""
        copy = self.clone()
        copy["options"] = {**copy.options, **options}
        return copy

    def split_options(self) -> tuple[list[Signature], dict[str, Any], dict[str, Any]]:
        """Return its steps, and the options of the first and of the last one.

        What is linked to it is linked to the steps, and groups without tasks are left out.
        """
        steps = list(self.steps())
        steps = [step for step in steps if not is_empty(step)] or steps[:1]
        linked = {"link", "link_error"}
        options = {name: value for name, value in self.options.items() if name not in linked}
        of_last = {name: options.pop(name) for name in _OF_LAST if name in options}
        return steps, options, of_last

    def steps(self) -> Iterator[Signature]:
        """Yield copies of its steps, with what is linked to all of it linked to them."""
        steps = [step.clone() for step in self.tasks]
        for callback in listed_signatures(self.options.get("link")):
            steps[-1].link(callback)
        for errback in listed_signatures(self.options.get("link_error")):
            for step in steps:
                step.link_error(errback)
        yield from steps

    unchain_tasks = steps

    def clone(self, args: Any = None, kwargs: Any = None, **options: Any) -> Self:
        copy = super().clone(args, None, **options)
        if kwargs and copy.tasks:
            copy.tasks[0] = copy.tasks[0].clone(None, kwargs)
        return copy

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, Signature):
            return NotImplemented
        return folded((self, other))

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        first = [step.reprcall(*args, **kwargs) for step in self.tasks[:1]]
        return " | ".join([*first, *map(repr, self.tasks[1:])]) or "celery.chain()"


def folded(members: Iterable[Any]) -> Any:
    """Return a chain of signatures, as `|` between them makes it.

    A task behind a group makes a chord of both, and one behind a chord follows in its body. A group
    that comes first makes no chain, but a group or a chord.
    """
    steps: list[Signature] = []
    pending = _steps_of(members)
    for step in pending:
        if isinstance(step, group) and not steps:
            return reduce(or_, pending, step)
        _append(steps, step)
    made = chain()
    made.tasks = steps
    return made


def _steps_of(members: Iterable[Any]) -> Iterator[Signature]:
    """Yield the members, and the steps of chains among them; a group of one is its member."""
    for value in members:
        member = only_member(maybe_signature(value))
        if isinstance(member, chain):
            yield from _steps_of(member.steps())
        elif not isinstance(member, Signature):
            raise TypeError(f"chain() takes signatures, such as task.s(...), not {value!r:.100}.")
        elif not is_empty(member):
            yield member.clone()


def _append(steps: list[Signature], step: Signature) -> None:
    last = steps[-1] if steps else None
    if isinstance(last, group) and not isinstance(step, group):
        steps[-1] = chord(last, step)
    elif isinstance(last, chord) and not isinstance(step, chord):
        last.body = last.body | step
    else:
        steps.append(step)
