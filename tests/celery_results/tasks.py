"""Plain Celery tasks."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from celery.exceptions import Ignore
from django.db import transaction

from tests.celery_apps import results as app
from tests.models import Effect

FILE_TIMEOUT = 60.0


class PaymentError(Exception):
    """Its class needs a keyword."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"payment refused with code {code}")
        self.code = code


class AmountError(ValueError):
    """Its class needs a keyword, and its base class does not."""

    def __init__(self, *, amount: int) -> None:
        super().__init__(f"amount {amount}")
        self.amount = amount


def wait_for_file(path: str) -> None:
    pause, left = threading.Event(), FILE_TIMEOUT
    while not Path(path).exists() and left > 0:
        pause.wait(0.02)
        left -= 0.02


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def echo(value: Any) -> Any:
    return value


@app.task
def values() -> dict[str, Any]:
    return {
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "price": Decimal("9.90"),
        "raw": b"abc",
    }


@app.task
def no_json() -> object:
    return object()


@app.task
def fail(text: str) -> None:
    raise ValueError(text)


@app.task
def fail_with_keywords(kind: str) -> None:
    if kind == "payment":
        raise PaymentError(code=7)
    raise AmountError(amount=-1)


@app.task(bind=True, max_retries=1)
def retry_at_once(self: Any, *, then: str) -> str:
    """Fail once; the second attempt may start before RETRY of the first is stored."""
    if self.request.retries == 0:
        raise self.retry(countdown=0, exc=ValueError("first"))
    if then == "fail":
        raise KeyError("second")
    return "second"


@app.task(bind=True)
def report_in_transaction(self: Any, gate: str, *, then: str = "return") -> str:
    with transaction.atomic():
        Effect.objects.create(token="in transaction")
        self.update_state(
            state="PROGRESS", meta={"current": 3, "total": 10, "description": "Adding"}
        )
        wait_for_file(gate)
        if then == "fail":
            raise ValueError("rolled back")
    return "done"


@app.task(bind=True)
def wait(self: Any, gate: str) -> str:
    wait_for_file(gate)
    return str(self.request.id)


@app.task
def call_another() -> str:
    """Call a task inside a transaction that is rolled back."""
    with transaction.atomic():
        result = add.delay(4, 5)
        transaction.set_rollback(True)
    return str(result.id)


@app.task(bind=True)
def ignore_after(self: Any) -> None:
    self.update_state(state="SKIPPED", meta={"why": "not needed"})
    raise Ignore


@app.task
def exit_process() -> None:
    os._exit(3)


@app.task(time_limit=1)
def run_too_long(gate: str) -> None:
    wait_for_file(gate)


@app.task(bind=True, max_retries=5)
def replace_later(self: Any, times: int) -> str:
    """Replace itself in its second attempt, so many times."""
    if not self.request.retries:
        raise self.retry(countdown=0)
    if times:
        raise self.replace(replace_later.si(times - 1))
    return "replaced"
