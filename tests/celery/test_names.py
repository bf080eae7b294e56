"""The names are those of Celery, where it is installed."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

celery = pytest.importorskip("celery")

MISSING = {
    "": {"bugreport"},
    "exceptions": {
        "CDeprecationWarning", "CPendingDeprecationWarning", "CeleryCommandException",
        "DuplicateNodenameWarning", "DuplicateTaskNameWarning", "FixupWarning", "NotConfigured",
        "SecurityWarning", "WorkerShutdown", "WorkerTerminate", "reraise",
    },
    "result": {"ResultBase", "assert_will_not_block", "denied_join_result", "result_from_tuple",
               "task_join_will_block"},
    "states": set(),
    "signals": {
        "beat_embedded_init", "celeryd_after_setup", "eventlet_pool_apply",
        "eventlet_pool_postshutdown", "eventlet_pool_preshutdown", "eventlet_pool_started",
        "heartbeat_sent", "user_preload_options", "worker_before_create_process", "task_sent",
    },
    "schedules": {"ParseException", "crontab_parser", "maybe_schedule", "solar"},
}  # fmt: skip
"""Public names that we do not have."""
TOP = {
    "Celery", "Signature", "Task", "bugreport", "chain", "chord", "chunks", "current_app",
    "current_task", "group", "maybe_signature", "shared_task", "signature", "uuid", "xmap",
    "xstarmap",
}  # fmt: skip
"""The names of the package, whose `__all__` is made when it is imported."""


def ours(module: str) -> Any:
    return import_module(f"offload.celery.{module}" if module else "offload.celery")


def theirs(module: str) -> Any:
    return import_module(f"celery.{module}" if module else "celery")


@pytest.mark.parametrize("module", list(MISSING))
def test_no_other_names_are_missing(module):
    names = TOP if module == "" else set(theirs(module).__all__)
    here = ours(module)

    missing = {name for name in names if not hasattr(here, name)}

    assert missing - MISSING[module] == set()
    assert {name for name in MISSING[module] if hasattr(here, name)} == set(), "it exists by now"


@pytest.mark.parametrize(
    ("module", "name"), [("app.control", "Inspect"), ("app.control", "Control"), ("utils", "uuid")]
)
def test_a_name_is_in_the_module_in_which_celery_has_it(module, name):
    assert getattr(theirs(module), name).__name__ == getattr(ours(module), name).__name__


def public(kind: Any) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        (
            "result.AsyncResult",
            {"build_graph", "graph", "ignored", "on_ready", "revoke_by_stamped_headers",
             "supports_native_join", "throw", "worker", "backend", "app", "parent", "id"},
        ),
        (
            "app.task.Task",
            {"Request", "Strategy", "acks_on_failure",
             "acks_on_failure_or_timeout",
             "acks_on_timeout", "add_around", "add_trail", "annotate", "backend",
             "bind", "from_config", "on_bound", "on_replace", "replace",
             "request_stack", "resultrepr_maxsize", "retry_on_worker_lost", "send_event",
             "send_events", "shadow_name", "signature_from_request",
             "start_strategy", "store_eager_result", "store_errors_even_if_ignored",
             "subtask_from_request", "app"},
        ),
    ],
)  # fmt: skip
def test_a_class_has_the_public_names_of_celery(path, missing):
    module, _, name = path.rpartition(".")
    absent = public(getattr(theirs(module), name)) - public(getattr(ours(module), name))

    assert absent - missing == set()


@pytest.mark.parametrize("method", ["get", "revoke", "then", "maybe_throw", "collect"])
def test_a_method_of_a_result_takes_the_arguments_of_celery(method):
    own = inspect.signature(getattr(ours("result").AsyncResult, method)).parameters
    other = inspect.signature(getattr(theirs("result").AsyncResult, method)).parameters

    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values())
    missing = [
        name
        for name, parameter in other.items()
        if name not in own and parameter.kind is not parameter.VAR_KEYWORD
    ]
    assert takes_any or missing == []


@pytest.mark.parametrize("method", ["retry", "update_state", "apply_async", "apply"])
def test_a_method_of_a_task_takes_its_first_arguments_in_the_order_of_celery(method):
    own = list(inspect.signature(getattr(ours("").Task, method)).parameters)
    other = list(inspect.signature(getattr(theirs("app.task").Task, method)).parameters)

    shared = [name for name in other if name in own]
    assert [name for name in own if name in other] == shared


@pytest.mark.parametrize("name", ["Retry", "Reject", "Ignore", "MaxRetriesExceededError"])
def test_an_exception_has_the_bases_of_celery(name):
    own = [kind.__name__ for kind in getattr(ours("exceptions"), name).__mro__]
    other = [kind.__name__ for kind in getattr(theirs("exceptions"), name).__mro__]

    assert [kind for kind in own if kind in other] == other


VALUES = [
    None, True, 1, 1.5, "text", [1, [2]], {"a": {"b": None}}, (1, 2), b"text", b"\xff",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_json_is_that_of_celery(value):
    from kombu.utils.json import dumps, loads  # noqa: PLC0415

    encoded = ours("encoding.values").encode(value, "args")

    assert loads(dumps(value)) == ours("encoding.values").decode(encoded)
    assert encoded == __import__("json").loads(dumps(value))
