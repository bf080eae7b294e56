"""`chord`: a task that follows when all tasks of a group have succeeded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from offload.celery.canvas.groups import group, only_member
from offload.celery.signatures import Signature, canvas, listed_signatures, maybe_signature

if TYPE_CHECKING:
    from offload.celery.canvas.plans import Added, Before, Plan
    from offload.celery.eager.canvas import EagerCall

_OF_BODY = ("task_id", "group_id", "chord")
_OF_HEADER = ("countdown", "eta")


@canvas
class chord(Signature):  # noqa: N801  # Celery's name
    """A group, and a task that follows when all tasks of the group have succeeded.

        chord(add.s(i, i) for i in range(100))(tsum.s())

    The body gets the list of the results of the header, in the order of its tasks. If one of them
    fails, the body fails with `ChordError`.

    Args:
        header: a group, or signatures.
        body: a signature.
        args: arguments of each task of the header.
        options: those of `apply_async`.
    """

    kind = "chord"
    has_members = True

    def __init__(
        self,
        header: Any,
        body: Any = None,
        task: str = "celery.chord",
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        app: Any = None,
        **options: Any,
    ) -> None:
        own = {"kwargs": {}, **(kwargs or {})}
        own |= {"header": _header(header), "body": maybe_signature(body)}
        super().__init__(task, args, own, options, subtask_type="chord")

    @property
    def tasks(self) -> list[Signature]:
        """The header."""
        return self.kwargs["header"]  # type: ignore[no-any-return]

    @tasks.setter
    def tasks(self, members: Iterable[Signature]) -> None:
        self.kwargs["header"] = list(members)

    @property
    def body(self) -> Any:
        """What follows; None if it is given when the chord is called."""
        return self.kwargs["body"]

    @body.setter
    def body(self, body: Any) -> None:
        self.kwargs["body"] = body

    @property
    def name(self) -> str:
        """The name of its body."""
        return self.task if self.body is None else self.body.name

    @property
    def app(self) -> Any:
        return self.body.app if self.body is not None else self.tasks[0].app

    def take_members(self) -> None:
        self.tasks = [maybe_signature(member, clone=True) for member in _header(self.tasks)]
        self.body = maybe_signature(self.body, clone=True)

    def __call__(self, body: Any = None, **options: Any) -> Any:
        """Enqueue it, with this body."""
        return self.apply_async((), {"body": body} if body is not None else {}, **options)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue all tasks in one transaction; return the result of the body.

        Its `parent` is the `GroupResult` of the header.

        Args:
            args: further arguments of each task of the header.
            kwargs: the same by name, and `body`.
            options: those of all tasks; `task_id`, `link` and `link_error` of the body; `countdown`
                and `eta` of the header.

        Raises:
            TypeError: without a body.
        """
        from offload.celery.canvas.plans import publish_canvas
        from offload.celery.eager.canvas import apply_eagerly, is_eager

        called, further = self._with_body(kwargs)
        if is_eager():
            return apply_eagerly(called, args, further, options)
        return publish_canvas(called, args, further, options)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        body: Any = None,
        **options: Any,
    ) -> Any:
        """Run it here; return the `EagerResult` of the body."""
        from offload.celery.eager.canvas import apply_eagerly

        called, further = self._with_body({**(kwargs or {}), "body": body})
        return apply_eagerly(called, args, further, options)

    def add_to(self, plan: Plan, before: Before) -> Added:
        header_options, body_options = self.split_options(before.options)
        args = before.args if self.immutable else (*before.args, *self.args)
        of_header = before.with_arguments(args, {**self.kwargs["kwargs"], **before.kwargs})
        header = group(self.tasks).add_to(plan, of_header.with_options(header_options))
        after = plan.after(header, joins=header.nodes, waits=() if header.nodes else before.waits)
        body: Added = _require_body(self.body).add_to(plan, after.with_options(body_options))
        return body._replace(nodes=(*header.nodes, *body.nodes))

    def run_here(self, call: EagerCall) -> Any:
        of_header, of_body = self.split_options(call.options)
        args = call.args if self.immutable else (*call.args, *self.args)
        of_tasks = call.with_arguments(args, {**self.kwargs["kwargs"], **call.kwargs})
        header = group(self.tasks).run_here(of_tasks.with_options(of_header))
        after = call.after(header, joins=True).with_options(of_body)
        body = _require_body(self.body).run_here(after)
        after.after(body, header)
        return body

    def split_options(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the options of the header, and those of the body."""
        merged = {**self.options, **options}
        delays = {name: merged.pop(name) for name in _OF_HEADER if name in merged}
        of_body = {name: merged.pop(name) for name in _OF_BODY if name in merged}
        for name in ("link", "link_error"):
            further = listed_signatures(merged.pop(name, None))
            if further and self.body is not None:
                own = listed_signatures(self.body.options.get(name))
                of_body[name] = [*own, *(one for one in further if one not in own)]
        return {**merged, **delays}, {**merged, **of_body}

    def set_immutable(self, immutable: bool) -> None:
        """Set whether the tasks of the header take no further arguments."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Let another signature follow the body."""
        self.body.link(callback)
        return callback

    def link_error(self, errback: Any) -> Any:
        """Let another signature follow if the header or the body fails."""
        self.body.link_error(errback)
        return errback

    def __or__(self, other: Any) -> Any:
        """Return a chord whose body goes on with another signature."""
        following = only_member(other)
        if isinstance(following, Signature) and following.get("subtask_type") not in {
            "chain",
            "group",
        }:
            copy = self.clone()
            copy.body = copy.body | following
            return copy
        return super().__or__(other)

    def _with_body(self, kwargs: Mapping[str, Any] | None) -> tuple[chord, dict[str, Any]]:
        """Return the chord with the body of a call, and the call's other arguments by name."""
        further = dict(kwargs or {})
        body = maybe_signature(further.pop("body", None))
        called = self
        if body is not None:
            called = self.clone()
            called.body = body.clone()
        _require_body(called.body)
        return called, further

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        return f"chord({group(self.tasks).reprcall(*args, **kwargs)}, {self.body!r})"


def _header(header: Any) -> list[Signature]:
    header = maybe_signature(header)
    if isinstance(header, Signature) and header.get("subtask_type") in {"group", "chain"}:
        return list(header.kwargs["tasks"])
    return group(header).tasks


def _require_body(body: Any) -> Signature:
    if not isinstance(body, Signature):
        raise TypeError("A chord needs a body: chord(header)(body), or chord(header, body).")
    return body
