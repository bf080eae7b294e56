"""Celery's signals."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("offload.celery")

type Receiver = Callable[..., Any]


class Signal:
    """Functions that are called when something happens.

        @task_prerun.connect
        def on_prerun(task_id, task, **kwargs): ...

    What a receiver raises is logged, and changes nothing.

    Args:
        name: its name, for the log.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.receivers: list[tuple[Any, Any, Any]] = []
        """Key, sender (None for any), and the function or a weak reference to it."""

    def connect(
        self,
        receiver: Receiver | None = None,
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Any = None,
        **_: Any,
    ) -> Any:
        """Call a function at the signal; as a decorator, with or without arguments.

        Args:
            receiver: a callable that takes the signal's keywords.
            sender: a task or its name, to be called for it only.
            weak: whether to keep a weak reference only.
            dispatch_uid: connects a receiver once, however often this is called.
        """
        if receiver is None:
            return lambda function: self.connect(function, sender, weak, dispatch_uid)
        key = (dispatch_uid or _identity(receiver), _name_of(sender))
        if all(key != known for known, _, _ in self.receivers):
            kept = _reference(receiver) if weak else (lambda: receiver)
            self.receivers.append((key, _name_of(sender), kept))
        return receiver

    def disconnect(
        self,
        receiver: Receiver | None = None,
        sender: Any = None,
        weak: Any = None,  # Celery's signature
        dispatch_uid: Any = None,
    ) -> bool:
        """Call a function no more; return whether it was connected."""
        key = (dispatch_uid or _identity(receiver), _name_of(sender))
        before = len(self.receivers)
        self.receivers = [entry for entry in self.receivers if entry[0] != key]
        return len(self.receivers) < before

    def has_listeners(self, sender: Any = None) -> bool:
        """Return whether any function would be called."""
        return bool(self._receivers(sender))

    def send(self, sender: Any, **named: Any) -> list[tuple[Receiver, Any]]:
        """Call the receivers; return each with its result, or with what it raised."""
        responses: list[tuple[Receiver, Any]] = []
        for receiver in self._receivers(sender) if self.receivers else ():
            try:
                response = receiver(signal=self, sender=sender, **named)
            except Exception as error:
                logger.exception("The receiver %r of the signal %s failed.", receiver, self.name)
                response = error
            responses.append((receiver, response))
        return responses

    send_robust = send

    def _receivers(self, sender: Any) -> list[Receiver]:
        name = _name_of(sender)
        found = [kept() for _, of, kept in self.receivers if of is None or of == name]
        if None in found:
            self.receivers = [entry for entry in self.receivers if entry[2]() is not None]
        return [receiver for receiver in found if receiver is not None]

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


def _name_of(sender: Any) -> Any:
    """Return what identifies a sender: a task's name, also for the task itself."""
    return getattr(sender, "name", sender)


def _identity(receiver: Any) -> Any:
    owner = getattr(receiver, "__self__", None)
    return (id(owner), id(receiver.__func__)) if owner is not None else id(receiver)


def _reference(receiver: Any) -> Callable[[], Any]:
    if hasattr(receiver, "__self__") and hasattr(receiver, "__func__"):
        return weakref.WeakMethod(receiver)
    return weakref.ref(receiver)


before_task_publish = Signal("before_task_publish")
after_task_publish = Signal("after_task_publish")
task_received = Signal("task_received")
task_prerun = Signal("task_prerun")
task_postrun = Signal("task_postrun")
task_success = Signal("task_success")
task_failure = Signal("task_failure")
task_retry = Signal("task_retry")
task_revoked = Signal("task_revoked")
task_rejected = Signal("task_rejected")
task_unknown = Signal("task_unknown")
task_internal_error = Signal("task_internal_error")

worker_process_init = Signal("worker_process_init")
worker_ready = Signal("worker_ready")

# Never sent here: importing them, and connecting receivers, must work. The reference says what
# takes their place.
after_setup_logger = Signal("after_setup_logger")
after_setup_task_logger = Signal("after_setup_task_logger")
beat_init = Signal("beat_init")
celeryd_init = Signal("celeryd_init")
import_modules = Signal("import_modules")
setup_logging = Signal("setup_logging")
worker_init = Signal("worker_init")
worker_process_shutdown = Signal("worker_process_shutdown")
worker_shutdown = Signal("worker_shutdown")
worker_shutting_down = Signal("worker_shutting_down")
