"""The names that projects may import. Adding one is a decision; removing one breaks projects."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

import offload

NAMES = {
    "offload": [
        "AlreadyEnqueued",
        "Concurrency",
        "CurrentJob",
        "Debounce",
        "Exponential",
        "Fair",
        "Fixed",
        "InvalidArguments",
        "InvalidJobState",
        "InvalidResult",
        "InvalidSchedule",
        "InvalidWorkflow",
        "JobCancelled",
        "JobExpired",
        "JobState",
        "JobTimeout",
        "OffloadError",
        "OffloadResult",
        "OffloadTask",
        "PartsFailed",
        "Progress",
        "QueueFull",
        "QueueUnavailable",
        "Rate",
        "Retry",
        "Snooze",
        "TaskNotFound",
        "TaskResultExpired",
        "Throttle",
        "Unique",
        "UserFacingError",
        "WorkerLost",
        "WorkflowResult",
        "aaccepted",
        "accepted",
        "acting_for",
        "busy",
        "chain",
        "current_job",
        "current_workflow",
        "group",
        "idempotent",
        "is_cancelled",
        "progress",
        "schedule",
        "task",
        "track",
        "workflow",
    ],
    "offload.limits": ["change", "get", "list", "list_keys", "reset"],
    "offload.live": [
        "DOCUMENT_SCHEMA",
        "document",
        "grants",
        "make_token",
        "prefetch_status",
        "visible",
    ],
    "offload.queues": ["get", "limit", "list", "pause", "reset_limits", "resume"],
    "offload.schedules": ["StoredSchedule", "change", "create", "get", "list"],
    "offload.streams": ["StatusSocket"],
}


@pytest.mark.parametrize("module", NAMES)
def test_the_public_names_are_exactly_these(module):
    assert import_module(module).__all__ == NAMES[module]


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in NAMES.items() for name in names]
)
def test_a_public_name_can_be_imported_and_is_documented(module, name):
    assert getattr(import_module(module), name).__doc__


@pytest.mark.parametrize("module", NAMES)
def test_an_unknown_name_is_refused(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        import_module(module).nothing  # noqa: B018


def test_the_packages_can_be_imported_before_django_is_set_up():
    code = f"import {', '.join(NAMES)}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_import_before_django_is_set_up_makes_no_logger_that_django_would_disable():
    modules = "offload, offload.asgi, offload.testing.plugin, offload.worker.child.fork_server"
    code = f"import logging, {modules}; print(*logging.root.manager.loggerDict)"
    loggers = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).split()

    assert not [name for name in loggers if name.startswith(("django", "offload"))]


def test_the_version_is_that_of_the_distribution():
    assert offload.__version__ == version("django-offload")
