"""No hints: workers and watchers poll at intervals."""

from __future__ import annotations

from offload.notifier.base import Hint, Listener, Notifier


class PollingListener(Listener):
    """A listener that never receives a hint."""

    check_interval = 0.25

    def fileno(self) -> None:
        return None

    def receive(self) -> set[Hint]:
        return set()

    def close(self) -> None:
        pass


class PollingNotifier(Notifier):
    """A notifier that sends nothing: for databases on another host that have no hints."""

    def notify(self, hint: Hint) -> None:
        pass

    def listen(self, *hints: Hint) -> Listener:  # noqa: ARG002  # no hints to listen for
        return PollingListener()
