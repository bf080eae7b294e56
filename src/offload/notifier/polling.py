"""No hints at all: everybody looks by the clock."""

from __future__ import annotations

from offload.notifier.base import Hint, Listener, Notifier


class PollingListener(Listener):
    interval = 0.25

    def fileno(self) -> None:
        return None

    def hints(self) -> set[Hint]:
        return set()

    def close(self) -> None:
        pass


class PollingNotifier(Notifier):
    def ring(self, hint: Hint) -> None:
        pass

    def listen(self, *hints: Hint) -> Listener:
        return PollingListener()
