"""`group`: tasks that run at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from offload.celery.signatures import CANVASES, Signature, canvas, maybe_signature
from offload.celery.tasks.current import get_current_app
from offload.celery.utils import uuid

if TYPE_CHECKING:
    from offload.celery.canvas.plans import Added, Before, Plan
    from offload.celery.eager.canvas import EagerCall


@canvas
class group(Signature):  # noqa: N801  # Celery's name
    """Tasks that run at the same time; their results are a list, in the order of the tasks.

        group(add.s(i, i) for i in range(10))()

    Args:
        members: signatures, or one list or generator of them, which is read once.
        options: those of `apply_async`, for each task.
    """

    kind = "group"
    has_members = True

    def __init__(self, *members: Any, app: Any = None, **options: Any) -> None:
        super().__init__(
            "celery.group", (), {"tasks": _listed(members)}, options, subtask_type="group"
        )

    @property
    def tasks(self) -> list[Signature]:
        """The members."""
        return self.kwargs["tasks"]  # type: ignore[no-any-return]

    @tasks.setter
    def tasks(self, members: Iterable[Signature]) -> None:
        self.kwargs["tasks"] = list(members)

    @property
    def name(self) -> str:
        """The name of its last task."""
        return self.tasks[-1].name if self.tasks else self.task

    @property
    def app(self) -> Any:
        return self.tasks[0].app if self.tasks else get_current_app()

    def take_members(self) -> None:
        self.tasks = [maybe_signature(member, clone=True) for member in self.tasks]

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Enqueue it, with further arguments for each task."""
        return self.apply_async(args, **options)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue all tasks in one transaction; return a `GroupResult`.

        Args:
            args, kwargs: further arguments of each task.
            options: those of each task; `task_id` is the id of the group.

        Raises:
            TypeError: for `link` and `link_error`.
        """
        from offload.celery.canvas.plans import publish_canvas
        from offload.celery.eager.canvas import apply_eagerly, is_eager

        for name in ("link", "link_error"):
            if options.get(name) is not None:
                _refuse(name)
        if is_eager():
            return apply_eagerly(self, args, kwargs, options)
        return publish_canvas(self, args, kwargs, options)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run the tasks here, one after the other; return a `GroupResult`."""
        from offload.celery.eager.canvas import apply_eagerly

        return apply_eagerly(self, args, kwargs, options)

    def add_to(self, plan: Plan, before: Before) -> Added:
        options = {**self.options, **before.options}
        for name in ("link", "link_error"):
            if options.pop(name, None):
                _refuse(name)
        group_id = options.pop("task_id", None) or plan.new_own_id()
        options["group_id"] = group_id
        before = before.with_options(options)
        added = [member.add_to(plan, before) for member in self.members()]
        return plan.joined_members(group_id, added, before)

    def run_here(self, call: EagerCall) -> Any:
        options = {**self.options, **call.options}
        group_id = str(options.pop("task_id", None) or uuid())
        call = call.with_options(options)
        return call.joined_members(group_id, [member.run_here(call) for member in self.members()])

    @property
    def is_empty(self) -> bool:
        return not any(True for _ in self.members())

    def members(self) -> Iterator[Signature]:
        """Yield the tasks, and those of groups among them; empty chains are left out."""
        for member in self.tasks:
            if isinstance(member, group):
                yield from member.members()
            elif member.get("subtask_type") != "chain" or member.kwargs["tasks"]:
                yield member

    def set_immutable(self, immutable: bool) -> None:
        """Set whether the tasks take no further arguments."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Let another signature follow the first task, without its result; better use a chord."""
        return self.tasks[0].link(maybe_signature(callback).clone().set(immutable=True))

    def link_error(self, errback: Any) -> Any:
        """Let another signature follow each task that fails."""
        errback = maybe_signature(errback)
        return tuple(member.link_error(errback.clone()) for member in self.tasks)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> group:
        """Let the tasks start one after the other.

        Args:
            start: seconds until the first one.
            stop: the most seconds.
            step: seconds between two.
        """
        for index, member in enumerate(self.tasks):
            seconds = start + index * step
            member.set(countdown=seconds if stop is None else min(seconds, stop))
        return self

    def __or__(self, other: Any) -> Any:
        """Return a chord, whose body gets the list of results."""
        if not isinstance(other, Signature):
            return NotImplemented
        return self if is_empty(other) else CANVASES["chord"](self, other)

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        members = ", ".join(member.reprcall(*args, **kwargs) for member in self.tasks)
        return f"group([{members}])"


def is_list(value: Any) -> bool:
    """Return whether a value is a list or a generator of signatures, and not one signature."""
    return isinstance(value, Iterable) and not isinstance(value, Mapping | str)


def is_empty(value: Any) -> bool:
    """Return whether a value is a group without tasks, which a chain leaves out."""
    return isinstance(value, group) and not value.tasks


def only_member(value: Any) -> Any:
    """Return the member of a group of one; other values as they are."""
    while isinstance(value, group) and len(value.tasks) == 1:
        value = value.tasks[0]
    return value


def _listed(members: tuple[Any, ...]) -> list[Signature]:
    values: Iterable[Any] = members
    if len(members) == 1:
        [only] = members
        if isinstance(only, group):
            values = only.tasks
        elif is_list(only):
            values = only
    listed = [maybe_signature(value) for value in values]
    for member in listed:
        if not isinstance(member, Signature):
            raise TypeError(f"group() takes signatures, such as task.s(...), not {member!r:.100}.")
    return listed


def _refuse(option: str) -> None:
    advice = "use a chord" if option == "link" else "do that on the tasks"
    raise TypeError(f"A group cannot have {option}: {advice}.")
