"""`xmap`, `xstarmap` and `chunks`: many calls of a task in few jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import batched
from typing import TYPE_CHECKING, Any, ClassVar

from offload.celery.canvas.groups import group
from offload.celery.signatures import Signature, canvas, maybe_signature, signature

if TYPE_CHECKING:
    from offload.celery.canvas.plans import Added, Before, Plan
    from offload.celery.eager.canvas import EagerCall


class _Iteration(Signature):
    """Calls of a task, one after the other, in one job, which returns the list of results.

    Args:
        task: a task, or a signature of it.
        it: the items, which are read once.
        options: those of `apply_async`.
    """

    task_name: ClassVar[str]

    def __init__(self, task: Any, it: Iterable[Any], app: Any = None, **options: Any) -> None:
        kwargs = {"task": _signature_of(task), "it": list(it)}
        super().__init__(self.task_name, (), kwargs, options, immutable=True)

    def take_members(self) -> None:
        self.kwargs["task"] = maybe_signature(self.kwargs["task"], clone=True)

    @property
    def name(self) -> str:
        """The name of the task that it calls."""
        return str(self.kwargs["task"]["task"])

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue the job, where the calls of the task would be."""
        return super().apply_async(args, kwargs, **{**self._route(), **options})

    def add_to(self, plan: Plan, before: Before) -> Added:
        before = before.with_options({**self._route(), **before.options})
        added: Added = super().add_to(plan, before)
        return added

    def _route(self) -> dict[str, Any]:
        """Return queue and priority of the task that it calls, unless it has its own."""
        from offload.celery.tasks.options import route_of, task_option

        task = signature(self.kwargs["task"]).type
        own = {"queue": task_option(task, "queue"), "priority": task_option(task, "priority")}
        route = own | route_of(task, (), {}, {}) | self.options
        return {name: value for name, value in route.items() if value is not None}


@canvas
class xmap(_Iteration):  # noqa: N801  # Celery's name
    """`task(item)` for each item, in one job, which returns the list of results."""

    kind = "celery.map"
    task_name = "celery.map"

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        return f"[{self.name}(x) for x in {self.kwargs['it']!r:.100}]"


@canvas
class xstarmap(_Iteration):  # noqa: N801  # Celery's name
    """`task(*item)` for each item, in one job, which returns the list of results."""

    kind = "celery.starmap"
    task_name = "celery.starmap"

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        return f"[{self.name}(*x) for x in {self.kwargs['it']!r:.100}]"


@canvas
class chunks(Signature):  # noqa: N801  # Celery's name
    """`task(*item)` for each item, in jobs of `n` items each.

        add.chunks(zip(range(100), range(100)), 10)()

    Args:
        task: a task, or a signature of it.
        it: the items, which are read once.
        n: how many one job takes.
        options: those of `apply_async`, for each job.
    """

    kind = "celery.chunks"
    has_members = True

    def __init__(
        self, task: Any, it: Iterable[Any], n: int, app: Any = None, **options: Any
    ) -> None:
        kwargs = {"task": _signature_of(task), "it": list(it), "n": n}
        super().__init__("celery.chunks", (), kwargs, options, immutable=True)

    def take_members(self) -> None:
        self.kwargs["task"] = maybe_signature(self.kwargs["task"], clone=True)

    @property
    def name(self) -> str:
        """The name of the task that it calls."""
        return str(self.kwargs["task"]["task"])

    def group(self) -> group:
        """Return the group of its jobs."""
        parts = batched(self.kwargs["it"], self.kwargs["n"])
        members = [xstarmap(self.kwargs["task"], part) for part in parts]
        return group(members, **self.options)

    def __call__(self, **options: Any) -> Any:
        """Enqueue it."""
        return self.apply_async(**options)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue its jobs in one transaction; return a `GroupResult`, with a list for each."""
        return self.group().apply_async(**options)

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run it here; return a `GroupResult`."""
        return self.group().apply(**options)

    def add_to(self, plan: Plan, before: Before) -> Added:
        return self.group().add_to(plan, before)

    def run_here(self, call: EagerCall) -> Any:
        return self.group().run_here(call)

    @classmethod
    def apply_chunks(cls, task: Any, it: Iterable[Any], n: int, app: Any = None) -> Any:
        """Enqueue the calls of a task in jobs of `n` items each."""
        return cls(task, it, n)()

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        return f"{self.name}.chunks({self.kwargs['it']!r:.100}, {self.kwargs['n']})"


def _signature_of(task: Any) -> Any:
    return signature(task) if isinstance(task, Mapping | str) else task.s()
