"""`Celery`: the app that a project's `celery.py` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from offload.celery.app.control import Control
from offload.celery.app.sharing import make_task, task_of_class
from offload.celery.app.task import Task
from offload.celery.settings import DJANGO, Settings
from offload.celery.signals import Signal
from offload.celery.signatures import maybe_signature, signature
from offload.celery.tasks import registry
from offload.celery.tasks.current import current_task, set_current_app, set_default_app
from offload.declared_schedules import add_schedules
from offload.process_starts import call_at_start


class Celery:
    """An app: settings, and the tasks that it has made.

        app = Celery("proj")
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.autodiscover_tasks()

    Args:
        main: its name.
        broker, backend: not used: jobs are in the database of TASKS.
        set_as_current: whether `current_app` is this one from now on.
        include: modules with tasks.
        settings: further settings.
    """

    Task = Task

    def __init__(
        self,
        main: str | None = None,
        broker: Any = None,
        backend: Any = None,
        set_as_current: bool = True,
        include: Iterable[str] = (),
        config_source: Any = None,
        task_cls: Any = None,
        namespace: str = "",
        **settings: Any,
    ) -> None:
        self.main = main
        own = {"broker_url": broker, "result_backend": backend}
        self.conf = Settings({name: value for name, value in own.items() if value is not None})
        self.conf.update(settings)
        self.control = Control()
        self.on_configure = Signal("on_configure")
        self.on_after_configure = Signal("on_after_configure")
        self.on_after_finalize = Signal("on_after_finalize")
        self.periodic_tasks: dict[str, dict[str, Any]] = {}
        """Entries that `add_periodic_task` has made, by the names of their schedules."""
        self._is_announced = False
        if task_cls is not None:
            self.Task = _imported(task_cls)
        if config_source is not None:
            self.config_from_object(config_source, namespace=namespace)
        registry.discovered_modules.update(dict.fromkeys(include))
        if set_as_current:
            self.set_current()

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Read settings from an object, when they are needed.

        Args:
            obj: the object, or its path: "django.conf:settings".
            silent, force: not used.
            namespace: what precedes their names: "CELERY".
        """
        self.conf.read_from(obj, namespace or "")

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import modules with tasks when a task is first looked up by name; in workers, at once.

        Args:
            packages: packages that are no apps, or a callable that returns them, which is called
                then; the modules of the installed apps are imported anyway.
            related_name: the name of the modules.
            force: not used.
        """
        if packages is None:
            registry.module_names[related_name or "tasks"] = None
            return
        found = packages if callable(packages) else tuple(packages)
        registry.packages.append((found, related_name or ""))

    def task(self, *args: Any, **options: Any) -> Any:
        """Make a function a task; see `shared_task`."""
        if len(args) == 1 and callable(args[0]):
            base = options.pop("base", None) or self.Task
            return make_task(args[0], base=base, app=self, **options)
        if args:
            raise TypeError("@app.task takes options by name.")
        return lambda function: self.task(function, **options)

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the name of a task that has none of its own; apps may override it.

        Args:
            name: of its function.
            module: of its function.
        """
        return f"{module}.{name}"

    def register_task(self, task: Any, **_: Any) -> Any:
        """Make a class with a `run` method, or an instance of it, a task."""
        return task_of_class(task, self)

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Any,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **opts: Any,
    ) -> str:
        """Let workers enqueue a task by the clock; return the name of the schedule.

        Args:
            schedule: seconds, a timedelta or a `crontab`.
            sig: the signature of the task.
            args, kwargs: arguments before its own, and further ones by name.
            name: of the schedule; the call as text by default.
            opts: options of `apply_async`.

        Raises:
            NotImplementedError: for a chain, a group or a chord.
        """
        sig = sig.s() if isinstance(sig, Task) else maybe_signature(sig)
        sig = sig.clone(tuple(args), dict(kwargs or {}))
        if sig.kind is not None:
            raise NotImplementedError(
                "add_periodic_task() takes the signature of one task. Let that task call the "
                f"{sig.kind}."
            )
        key = name or repr(sig).replace(":", " ")[:100].strip()
        self.periodic_tasks[key] = {
            "schedule": schedule,
            "task": sig.name,
            "args": sig.args,
            "kwargs": sig.kwargs,
            "options": {**sig.options, **opts},
        }
        return key

    def announce_configured(self) -> None:
        """Send `on_after_configure` and `on_after_finalize`, once."""
        if not self._is_announced:
            self._is_announced = True
            self.on_after_configure.send(self, source=self.conf)
            self.on_after_finalize.send(self)

    def send_task(
        self,
        name: str,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue a task by its name; see `Task.apply_async`.

        Raises:
            NotRegistered: if the code has no task of this name.
        """
        from offload.celery.calls.call import Call
        from offload.celery.canvas.links import enqueue

        further = [options.pop(option, None) for option in ("task_id", "link", "link_error")]
        task_id, *linked = further
        call = Call.of(args, kwargs, task_id, options)
        return enqueue(self.tasks[name], call, *linked)

    def signature(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature; see `Signature`."""
        return signature(*args, **kwargs)

    def AsyncResult(self, id: str, **kwargs: Any) -> Any:  # noqa: N802  # Celery's names
        """Return the result of a task by its id."""
        from offload.celery.result.async_result import AsyncResult

        return AsyncResult(id, **kwargs)

    @property
    def GroupResult(self) -> Any:  # noqa: N802  # Celery's name
        """The class of the results of groups."""
        from offload.celery.result.sets import GroupResult

        return GroupResult

    @cached_property
    def tasks(self) -> registry.Registry:
        """The tasks by name."""
        return registry.tasks

    @property
    def current_task(self) -> Any:
        """The running task; None outside one."""
        return current_task

    def set_current(self) -> None:
        """Make this the current app."""
        set_current_app(self)

    set_default = set_current

    def finalize(self, auto: bool = False) -> None:
        """Do nothing: tasks are made at once."""

    def __repr__(self) -> str:
        return f"<Celery {self.main or '__main__'}>"


def _imported(value: Any) -> Any:
    from django.utils.module_loading import import_string

    return import_string(value.replace(":", ".")) if isinstance(value, str) else value


def _announce_process(is_first: bool) -> None:
    from offload.celery.runs.worker_signals import announce_process

    announce_process(is_first)


call_at_start(_announce_process)


def _periodic_tasks() -> Iterable[Any]:
    from offload.celery.schedules.periodic import periodic_tasks

    return periodic_tasks()


add_schedules(_periodic_tasks)


def _default_app() -> Celery:
    app = Celery("default", set_as_current=False)
    app.config_from_object(DJANGO, namespace="CELERY")
    return app


set_default_app(_default_app)
