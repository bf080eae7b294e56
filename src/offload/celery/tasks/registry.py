"""The tasks of this process by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.utils.module_loading import autodiscover_modules

from offload.celery.tasks.current import get_current_app


class Registry(dict[str, Any]):
    """The tasks by name, as in `app.tasks["shop.tasks.add"]`.

    A name that it lacks is looked for in the `tasks` modules of the apps, and then in the module
    that the name begins with.
    """

    def __missing__(self, name: str) -> Any:
        self.discover()
        if name not in self and "." in name:
            _import_module_of(name)
        if name in self:
            return dict.__getitem__(self, name)
        from offload.celery.exceptions import NotRegistered  # imports django.tasks

        near = get_close_matches(name, self, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise NotRegistered(
            f"There is no task {name!r}.{hint} Is its module imported? "
            "The modules named tasks.py of the apps are; others must be imported by them, or be "
            "named by autodiscover_tasks()."
        )

    def register(self, task: Any) -> None:
        """Add a task under its name."""
        known = self.get(task.name)
        if known is not None and type(known).__module__ != type(task).__module__:
            warnings.warn(
                f"There are two tasks with the name {task.name!r}: in {type(known).__module__}, "
                f"and in {type(task).__module__}, which replaces it.",
                stacklevel=3,
            )
        self[task.name] = task

    def unregister(self, name: Any) -> None:
        """Remove a task."""
        self.pop(getattr(name, "name", name))

    def of_project(self) -> list[Any]:
        """Return the tasks that this package has not made itself."""
        return [task for name, task in self.items() if not name.startswith("celery.")]

    @staticmethod
    def discover() -> None:
        """Import the modules with tasks, once: those of the apps and those that apps name.

        These are the arguments of `autodiscover_tasks` and `include`, and the settings `imports`
        and `include`.
        """
        modules = dict.fromkeys(module_names)
        if modules:
            autodiscover_modules(*modules)
        conf = get_current_app().conf
        for name in (*discovered_modules, *_listed(conf.imports), *_listed(conf.include)):
            import_module(name)
        for found, related_name in packages:
            for package in found() if callable(found) else found:
                _import_related(package, related_name)


tasks = Registry()
"""The tasks of all apps."""

module_names: dict[str, None] = {"tasks": None}
"""Names of modules with tasks, which each installed app may have."""
discovered_modules: dict[str, None] = {}
"""Paths of further modules that have tasks."""
packages: list[tuple[Iterable[str] | Callable[[], Iterable[str]], str]] = []
"""Packages, and the name of the module with tasks that each has, or that is the package itself."""


def _listed(modules: str | Iterable[str] | None) -> Iterable[str]:
    return [modules] if isinstance(modules, str) else modules or ()


def _import_related(package: str, related_name: str) -> None:
    """Import a module of a package, if it exists; the package may be the path of an AppConfig."""
    if not _exists(package):
        package = package.rpartition(".")[0]
    path = f"{package}.{related_name}" if related_name else package
    if _exists(path):
        import_module(path)


def _exists(path: str) -> bool:
    try:
        return bool(path) and find_spec(path) is not None
    except ModuleNotFoundError as error:
        # A parent that does not exist, or is no package, is none; an import that fails in one is.
        if path.startswith(f"{error.name}.") or error.name == path:
            return False
        raise


def _import_module_of(name: str) -> None:
    from offload.task_modules import task_module

    task_module(name.rpartition(".")[0])
