"""Tasks of the tests of workflows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.tasks import task as django_task

from offload import Concurrency, Unique, current_workflow, task


@task
def fetch(url: str) -> str:
    return f"page of {url}"


@task
def numbers(count: int) -> list[int]:
    return list(range(count))


@task
def double(number: int, *, plus: int = 0) -> int:
    return 2 * number + plus


@task(atomic=True)
def atomic_double(value: Any) -> Any:
    return value * 2


@task
async def adouble(number: int) -> int:
    return 2 * number


@task
def total(values: list[int], *, title: str = "") -> Any:
    return f"{title}: {sum(values)}" if title else sum(values)


@task
def echo(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


@task
def fail(*_: Any) -> None:
    raise ValueError("no")


@task(queue_name="slow", priority=7, timeout=5, max_attempts=2, expires=60)
def configured(value: Any = None) -> Any:
    return value


@django_task(queue_name="mail")
def plain(value: Any) -> Any:
    return [value]


@task(concurrency=Concurrency(5, key="{customer}"))
def call_api(customer: int, path: str = "") -> str:
    return f"{customer} {path}"


@task(concurrency=Concurrency(2, key="{item[name]}"))
def keyed_by_name(item: Any) -> Any:
    return item


@task(concurrency=Concurrency(2))
def two_at_once(number: int) -> int:
    return number


@task(takes_context=True)
def with_context(context: Any, value: Any) -> Any:
    return value


@task
def count_run(path: str) -> int:
    with Path(path).open("a") as file:
        file.write("x")
    return len(Path(path).read_text())


@task
def fail_unless(path: str, _: Any) -> str:
    if not Path(path).exists():
        raise ValueError("off")
    return "on"


@task
def look_around() -> Any:
    flow = current_workflow()
    return {
        "name": flow.result.args[0],
        "first": flow.result_of("first"),
        "broken": flow.result_of("broken"),
        "failures": [part.task.name for part in flow.failures()],
        "results": list(flow.results()),
    }


@task(unique=Unique())
def one_of_each(value: int) -> int:
    return value


@task
def add_pages(names: list[str], width: int | None = None) -> Any:
    flow = current_workflow()
    pages = flow.map(double, list(map(len, names)))
    return {"pages": pages if width is None else pages.at_once(width)}


@task
async def aadd_pages(names: list[str]) -> Any:
    return current_workflow().map(double, list(map(len, names)))


@task
def add_map(count: int) -> Any:
    flow = current_workflow()
    return flow.map(double, flow.add(numbers, count))


@task
def give(value: Any) -> Any:
    return value


@task(expose_result=True)
def shown(value: Any) -> Any:
    return value


@task
def add_nested(depth: int) -> Any:
    flow = current_workflow()
    return depth if depth == 0 else flow.add(add_nested, depth - 1)


@task(expose_result=True)
def add_shown() -> Any:
    return [current_workflow().map(double, [1, 2])]


@task
def cancel_and_add() -> Any:
    flow = current_workflow()
    flow.result.cancel()
    return flow.add(double, 1)


@task
async def acancel_and_add() -> Any:
    flow = current_workflow()
    await sync_to_async(lambda: flow.result.cancel())()  # noqa: PLW0108  # it reads the result
    return flow.add(double, 1)


@task
def result_of(name: str, *_: Any) -> Any:
    return current_workflow().result_of(name)


@task
def wait_for_whole() -> None:
    current_workflow().result.wait(timeout=0.1)


@task
def add_and_fail() -> None:
    current_workflow().add(double, 1)
    raise ValueError("no")


@task
def name_added() -> None:
    current_workflow().add(double, 1).named("x")


@task
def add_too_many() -> None:
    current_workflow().map(double, [1] * 10_001)
