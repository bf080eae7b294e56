"""Signatures: calls of tasks that are not made yet. Chains, groups and chords are some, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self

from offload.celery.tasks.registry import tasks

CANVASES: dict[str, Any] = {}
"""The classes of signatures of several tasks, by `subtask_type` or the name of the task."""


class Signature(dict[str, Any]):
    """A task with arguments and options, which can be called later, passed on, and stored.

    It is a dict that can be stored as JSON: task, args, kwargs, options, subtask_type, immutable.

    Args:
        task: the task, its name, or a signature as a dict.
        args, kwargs: its arguments.
        options: those of `apply_async`.
        type: the task, if `task` is its name.
        subtask_type: the kind of a canvas; None for a task.
        immutable: whether it takes no further arguments.
    """

    kind: ClassVar[str | None] = None

    def __init__(
        self,
        task: Any = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        type: Any = None,  # Celery's name
        subtask_type: str | None = None,
        immutable: bool = False,
        app: Any = None,
        **further: Any,
    ) -> None:
        self._type = type
        if isinstance(task, Mapping):
            super().__init__(task)
            return
        if not isinstance(task, str | None):
            self._type, task = task, task.name
        super().__init__(
            task=task,
            args=tuple(args or ()),
            kwargs=dict(kwargs or {}),
            options={**(options or {}), **further},
            subtask_type=subtask_type,
            immutable=immutable,
        )

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: Any = None) -> Signature:
        """Return the signature that a dict describes, of the class that it names."""
        kind: type[Signature] = CANVASES.get(
            d.get("subtask_type") or d.get("task") or "", Signature
        )
        return kind.restored(d)

    @classmethod
    def restored(cls, d: Mapping[str, Any]) -> Self:
        """Return a signature of this class with the values of a dict."""
        values = {"args": (), "kwargs": {}, "options": {}, "immutable": False, **d}
        values["args"] = tuple(values["args"] or ())
        values["kwargs"] = dict(values["kwargs"] or {})
        values["options"] = _copied_options(values["options"] or {})
        values.setdefault("subtask_type", cls.kind)
        copy = cls.__new__(cls)
        dict.__init__(copy, values)
        vars(copy)["_type"] = getattr(d, "_type", None)
        copy.take_members()
        return copy

    def take_members(self) -> None:
        """Make signatures of the dicts in the arguments of a canvas, each a copy."""

    # --- its items ----------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """The name of the task."""
        return self["task"]  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """The name of the task."""
        return self.task

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return tuple(self.get("args") or ())

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name."""
        return self["kwargs"]  # type: ignore[no-any-return]

    @property
    def options(self) -> dict[str, Any]:
        """The options of `apply_async`."""
        return self.setdefault("options", {})  # type: ignore[no-any-return]

    @property
    def immutable(self) -> bool:
        """Whether it takes no further arguments."""
        return bool(self.get("immutable"))

    @property
    def subtask_type(self) -> str | None:
        """The kind of a canvas; None for a task."""
        return self.get("subtask_type")

    @property
    def id(self) -> str | None:
        """The id of the task, if it was chosen."""
        return self.options.get("task_id")

    @property
    def type(self) -> Any:
        """The task.

        Raises:
            NotRegistered: if this process does not have it.
        """
        return tasks[self.task] if self._type is None else self._type

    has_members: ClassVar[bool] = False
    """Whether it is of several tasks."""

    @property
    def is_empty(self) -> bool:
        """Whether it has no tasks."""
        return False

    @property
    def app(self) -> Any:
        """The app of its task."""
        return self.type.app

    # --- calling ------------------------------------------------------------------------------

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it, with further arguments before its own."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue it.

        Args:
            args: arguments before its own.
            kwargs: further arguments by name.
            options: those of `Task.apply_async`, beside its own.
        """
        merged = self._merged(args, kwargs, options)
        return self.type.apply_async(merged.args, merged.kwargs, **merged.options)

    def __invert__(self) -> Any:
        """Enqueue it, wait for it, and return its result: `~add.s(2, 2)`."""
        return self.apply_async().get()

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run it here; return an `EagerResult`."""
        merged = self._merged(args, kwargs, options)
        return self.type.apply(merged.args, merged.kwargs, **merged.options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function of the task here."""
        merged = self._merged(args, kwargs, {})
        return self.type(*merged.args, **merged.kwargs)

    def add_to(self, plan: Any, before: Any) -> Any:
        """Add the call to a workflow, behind what precedes it.

        Args:
            plan: the workflow, a `Plan`.
            before: what precedes it, a `Before`.
        """
        return plan.add_task(self, before)

    def run_here(self, call: Any) -> Any:
        """Run it here as part of a canvas.

        Args:
            call: what precedes it, an `EagerCall`.
        """
        return call.run_task(self)

    # --- changing -----------------------------------------------------------------------------

    def clone(self, args: Iterable[Any] | None = None, kwargs: Any = None, **options: Any) -> Self:
        """Return a copy, with further arguments and options."""
        return self._merged(args, kwargs, options)

    partial = clone

    def replace(self, args: Any = None, kwargs: Any = None, options: Any = None) -> Self:
        """Return a copy with other arguments or options; None keeps them."""
        copy = self.clone()
        changes = {"args": args, "kwargs": kwargs, "options": options}
        copy.update({name: value for name, value in changes.items() if value is not None})
        return copy

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set options of `apply_async`."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Set whether it takes no further arguments."""
        self["immutable"] = immutable

    def link(self, callback: Any) -> Any:
        """Let another signature follow, with its result."""
        self._append("link", callback)
        return callback

    def link_error(self, errback: Any) -> Any:
        """Let another signature follow if it fails."""
        self._append("link_error", errback)
        return errback

    def on_error(self, errback: Any) -> Self:
        """Do what `link_error` does; return this."""
        self.link_error(errback)
        return self

    def flatten_links(self) -> list[Signature]:
        """Return this, and all that is linked to it."""
        linked = [one.flatten_links() for one in listed_signatures(self.options.get("link"))]
        return [self, *(one for several in linked for one in several)]

    def _append(self, option: str, value: Any) -> None:
        known = listed_signatures(self.options.get(option))
        if value not in known:
            self.options[option] = [*known, value]

    def _merged(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Self:
        copy = self.restored(self)
        copy["options"].update(options)
        if not self.immutable:
            copy["args"] = (*(args or ()), *self.args)
            copy["kwargs"] = {**copy.kwargs, **(kwargs or {})}
        return copy

    # --- composing ----------------------------------------------------------------------------

    def __or__(self, other: Any) -> Any:
        """Return a chain in which another signature follows."""
        if not isinstance(other, Signature):
            return NotImplemented
        return CANVASES["chain"]((self, other))

    __ior__ = __or__  # not that of dict

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """Return the call as text, with further arguments."""
        merged = self._merged(args, kwargs, {})
        arguments = [*map(repr, merged.args), *(f"{k}={v!r}" for k, v in merged.kwargs.items())]
        return f"{self.task}({', '.join(arguments)})"

    def __repr__(self) -> str:
        return self.reprcall()

    def __reduce__(self) -> tuple[Any, ...]:
        return signature, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.restored(self)

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


def signature(task: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a signature.

    Args:
        task: a task, its name, or a signature, also as a dict.
        args, kwargs: those of `Signature`.
    """
    if isinstance(task, Signature):
        return task.clone()
    if isinstance(task, Mapping):
        return Signature.from_dict(task)
    return Signature(task, *args, **kwargs)


def maybe_signature(value: Any, app: Any = None, clone: bool = False) -> Any:
    """Return a signature of a dict; other values, such as None, as they are."""
    if isinstance(value, Signature):
        return value.clone() if clone else value
    return Signature.from_dict(value) if isinstance(value, Mapping) else value


def listed_signatures(value: Any) -> list[Signature]:
    """Return signatures as a list: of none, of one, or of several; dicts become signatures.

    Args:
        value: what `link` and `link_error` take.

    Raises:
        TypeError: for something else, such as a task.
    """
    if not value:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    signatures = [maybe_signature(one) for one in values]
    for one in signatures:
        if not isinstance(one, Signature):
            raise TypeError(f"link and link_error take signatures, such as task.s(), not {one!r}.")
    return signatures


def canvas(kind: type[Signature]) -> type[Signature]:
    """Let `signature` find the class of a canvas; a decorator."""
    for name in {kind.kind, f"celery.{kind.kind}"}:
        CANVASES[str(name)] = kind
    return kind


subtask = signature


def _copied_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with their own lists of what is linked."""
    return {
        name: [maybe_signature(one, clone=True) for one in listed_signatures(value)]
        if name in {"link", "link_error"}
        else deepcopy(value)
        for name, value in options.items()
    }
