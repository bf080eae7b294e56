"""What Celery's signals start and refuse."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from offload.backends.celery.application import application, signals
from offload.backends.celery.messenger import BrokerOptions, CeleryMessenger
from offload.backends.messages import JobMessage
from offload.worker.fleet import celery_tasks


def set_up(pool: str) -> None:
    instance = SimpleNamespace(app=application, pool_cls=pool, concurrency=2)
    signals.celeryd_after_setup.send(sender="worker@host", instance=instance, conf=None)


@pytest.fixture(autouse=True)
def settings_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_app", "_threads", "_warden", "_is_child"):
        monkeypatch.setattr(celery_tasks, name, getattr(celery_tasks, name))


@pytest.mark.parametrize("pool", ["gevent", "eventlet", "celery.concurrency.gevent:TaskPool"])
def test_a_pool_of_green_threads_ends_the_worker(pool) -> None:
    with pytest.raises(SystemExit, match="prefork, threads and solo, not in"):
        set_up(pool)


def test_tasks_that_cannot_be_imported_end_the_worker(monkeypatch) -> None:
    def fail() -> None:
        raise ImportError("No module named 'shop.tasks'")

    monkeypatch.setattr(celery_tasks, "import_tasks", fail)

    with pytest.raises(SystemExit, match=r"No module named 'shop\.tasks'"):
        set_up("solo")


def test_a_child_process_sends_its_messages_before_it_ends(monkeypatch) -> None:
    """Billiard calls nothing that atexit has registered."""
    sender = CeleryMessenger("default", BrokerOptions("", "", 15.0))
    is_flushed, published = threading.Event(), []
    flush = sender.flush

    def note_flush(timeout: float) -> bool:
        is_flushed.set()
        return flush(timeout)

    def publish(pending: list[JobMessage]) -> None:
        is_flushed.wait(20)
        published.extend(pending)

    monkeypatch.setattr(sender, "flush", note_flush)
    monkeypatch.setattr(sender, "_publish", publish)
    signals.worker_process_init.send(sender=None)

    sender.send([JobMessage("default", False, 0, "job")])
    signals.worker_process_shutdown.send(sender=None)
    sent = len(published)
    is_flushed.set()  # even if the test fails, the thread ends

    assert sent == 1


def test_a_process_starts_a_worker_for_each_backend_of_which_it_gets_messages(
    monkeypatch, settings
) -> None:
    """So that health checks see it before its first message."""
    path = "offload.backends.celery.CeleryBackend"
    backend = {"BACKEND": path, "QUEUES": ["default", "mail"]}
    other = {**backend, "OPTIONS": {"celery_queue_prefix": "other-"}}
    settings.TASKS = {"default": backend, "other": other}
    queues = SimpleNamespace(consume_from={"celery": None, "mail": None})
    app = SimpleNamespace(amqp=SimpleNamespace(queues=queues))
    started = []
    monkeypatch.setattr(celery_tasks, "_app", app)
    monkeypatch.setattr(celery_tasks, "_worker", started.append)

    signals.worker_process_init.send(sender=None)
    queues.consume_from = {"celery": None}
    signals.worker_ready.send(sender=None)

    assert started == ["default"]
