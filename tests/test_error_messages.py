"""The error messages quoted in docs/howto/errors.md are the real ones."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, transaction

from offload import QueueFull, task, workflow
from offload.backends.failure_loops import failure_depth
from offload.conf import BackendOptions
from offload.lifecycle import JobState
from offload.models import Job
from offload.ownership import Cause, Ownership
from offload.serialization import encode_result
from offload.store import get_store
from offload.store.control import key_is_held
from offload.store.errors import explain
from offload.task_limits import limit_of
from offload.task_lookup import find_task
from offload.uuid7 import new_id
from offload.worker.pools.server_process import explain_failed_load
from offload.workflows.builder import Workflow
from offload.workflows.nodes import Node
from tests.management.factories import finish, register_worker
from tests.tasks import add, plain

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "howto" / "errors.md").read_text()
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


REFUSED = (
    'connection failed: connection to server at "127.0.0.1", port 5432 failed: Connection '
    "refused\n\tIs the server running on that host and accepting TCP/IP connections?"
)
MISSING = "no such table: offload_job"


def message_of(action: Callable[[], Any]) -> str:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # the test checks its text
        action()
    return str(caught.value)


def is_quoted(message: str) -> bool:
    return ID.sub("<id>", message) in ID.sub("<id>", PAGE)


def unloadable() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["/srv/mysite/manage.py"])
        text = explain_failed_load("ModuleNotFoundError: No module named 'MySQLdb'")
    raise CommandError(text)


def return_without_await() -> None:
    async def fetch() -> None: ...

    coroutine = fetch()
    try:
        encode_result(coroutine, max_bytes=1000)
    finally:
        coroutine.close()


def nested() -> Any:
    def make() -> Any:
        @task
        def inner() -> None: ...

        return inner

    make.__qualname__ = "make"
    return make()


def held_key() -> None:
    holder = Job(pk=new_id(), state=JobState.READY, unique_key="shop.tasks.import_shop:a")
    raise key_is_held(new_id(), holder)


def unmakeable_key() -> None:
    def export(order: Any) -> None: ...

    made = limit_of(
        SimpleNamespace(
            func=export,
            module_path="shop.tasks.export",
            backend="default",
            takes_context=False,
            fair="{order[shop]}",
        )
    )
    assert made is not None
    made.key([{"pk": 5}], {}, tenant="", owner="")


def wait_in_a_circle() -> None:
    with workflow("Import") as flow:
        fetch, parse = _nodes(flow)
        fetch.after(parse.after(fetch))


def wait_for_a_foreign_node() -> None:
    with workflow("Export") as other:
        fetch, _ = _nodes(other)
        with workflow("Import") as flow:
            flow.add(add, fetch, 1)


def add_to_an_enqueued_workflow() -> None:
    flow = workflow("Import")
    flow._state = "enqueued"
    flow.add(add, 1)


def _nodes(flow: Workflow) -> list[Node]:
    """Add a call of `shop.tasks.fetch`, and one of `shop.tasks.parse`."""
    nodes = [flow.add(add, 1), flow.add(add, 2)]
    for node, name in zip(nodes, ("fetch", "parse"), strict=True):
        node.task = SimpleNamespace(module_path=f"shop.tasks.{name}")  # type: ignore[assignment]
    return nodes


@pytest.mark.parametrize(
    "action",
    [
        unloadable,
        lambda: task(lambda x: x),
        lambda: task(retries=3),
        lambda: task(concurrency=5)(plain.func),  # type: ignore[arg-type]
        unmakeable_key,
        wait_in_a_circle,
        wait_for_a_foreign_node,
        add_to_an_enqueued_workflow,
        held_key,
        lambda: add.enqueue(User(), 1),
        lambda: add.enqueue(float("nan")),
        lambda: add.enqueue("x" * 3_000_000, 1),
        lambda: encode_result(User(), max_bytes=1000),
        return_without_await,
        lambda: find_task("shop.tasks.old"),
        lambda: find_task("tools.jobs.clean"),
        lambda: add(1),
        lambda: add.delay(1),
        lambda: (_ for _ in ()).throw(QueueFull("mail", 10_000, retry_after=5)),
        lambda: (_ for _ in ()).throw(explain(OperationalError(REFUSED), "default")),
        lambda: (_ for _ in ()).throw(explain(DatabaseError(MISSING), "default")),
    ],
    ids=[
        "unloadable",
        "lambda",
        "option",
        "concurrency",
        "key",
        "circle",
        "foreign",
        "enqueued",
        "held",
        "type",
        "nan",
        "size",
        "result",
        "await",
        "gone",
        "outside",
        "called",
        "delay",
        "full",
        "down",
        "tables",
    ],
)
def test_the_page_quotes_the_message(action, monkeypatch):
    monkeypatch.setitem(sys.modules, "shop.tasks", ModuleType("shop.tasks"))
    assert is_quoted(message_of(action))


def test_the_page_quotes_the_error_for_a_nested_function():
    message = message_of(nested)

    assert message.partition("is defined in")[2] in PAGE


def test_the_page_quotes_the_error_for_a_wrong_setting():
    assert message_of(lambda: BackendOptions.parse({"max_attempt": 3})) in PAGE


def test_the_page_quotes_the_error_for_an_unknown_queue(settings):
    settings.TASKS = {"default": {"BACKEND": settings.TASKS["default"]["BACKEND"]}}

    assert is_quoted(message_of(lambda: plain.using(queue_name="mail")))


def test_the_page_quotes_the_error_without_the_app(monkeypatch):
    monkeypatch.setattr("django.apps.apps.is_installed", lambda _: False)
    get_store.cache_clear()
    try:
        with pytest.raises(ImproperlyConfigured) as caught:
            get_store("default")
    finally:
        get_store.cache_clear()

    assert str(caught.value) in PAGE


def test_the_page_quotes_the_error_for_a_task_in_a_shell(monkeypatch):
    def here() -> None: ...

    here.__qualname__, here.__module__ = "here", "__main__"
    assert is_quoted(message_of(lambda: task(here).enqueue()))

    here.__module__ = "django.core.management.commands.shell"
    assert is_quoted(message_of(lambda: task(here).enqueue()))


@pytest.mark.django_db
def test_the_page_quotes_the_error_for_waiting_in_a_transaction():
    def wait() -> None:
        with transaction.atomic():
            add.enqueue(1).wait(1)

    assert is_quoted(message_of(wait))


@pytest.mark.django_db
def test_the_page_quotes_the_errors_of_a_job():
    result = add.enqueue(1)
    assert is_quoted(message_of(lambda: result.return_value))
    assert is_quoted(message_of(lambda: add.get_result(str(new_id()))))
    assert "was pruned: it is 1590 days old." in PAGE

    finish(result, JobState.SUCCESSFUL)
    assert is_quoted(message_of(result.cancel))


@pytest.mark.django_db(transaction=True)
def test_a_timeout_reports_that_no_worker_is_running():
    result = add.enqueue(1)

    message = message_of(lambda: result.wait(timeout=0.05))
    assert is_quoted(message.replace("0.05 s", "1 s"))

    register_worker()
    assert message_of(lambda: result.wait(timeout=0.05)).endswith("after 0.05 s.")


@pytest.mark.django_db
def test_the_page_quotes_the_error_for_a_report_of_a_report():
    path = "shop.tasks.alert"
    ownership = Ownership(parent=str(new_id()), cause=Cause(path, 1, has_succeeded=False))
    alert = SimpleNamespace(module_path=path)

    assert is_quoted(message_of(lambda: failure_depth(alert, ownership, "default")))


@pytest.mark.django_db
def test_the_page_quotes_the_output_of_offload_health(capsys):
    with pytest.raises(SystemExit):
        call_command("offload_health")

    assert "\n".join(capsys.readouterr().out.splitlines()[2:3]) in PAGE


def test_the_page_quotes_the_workers_error_for_an_unknown_queue():
    with pytest.raises(CommandError) as caught:
        call_command("offload_worker", "--queues", "mial")

    assert "`CommandError: Unknown queue 'mial'.`" in PAGE
    assert str(caught.value).startswith("Unknown queue 'mial'.")
