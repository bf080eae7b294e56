"""No hints at all: everybody looks by the clock."""

from __future__ import annotations

from offload.notifier.base import Hint, Listener, Notifier


class PollingListener(Listener):
    """Hears nothing."""

    check_interval = 0.25

    def fileno(self) -> None:
        return None

    def receive(self) -> set[Hint]:
        return set()

    def close(self) -> None:
        pass


class PollingNotifier(Notifier):
    """Rings nobody: for databases on another host that have no hints of their own."""

    def notify(self, hint: Hint) -> None:
        pass

    def listen(self, *hints: Hint) -> Listener:  # noqa: ARG002  # there are none
        return PollingListener()
