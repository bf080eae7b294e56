"""When an engine looks for ready jobs, and whether it expects any."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from offload.notifier import Hint, get_notifier

if TYPE_CHECKING:
    from offload.conf import BackendOptions
    from offload.store.records import ClaimRequest, ExchangeResult
    from offload.worker.claiming.watermarks import Watermarks
    from offload.worker.timers import Timer

LONGEST_ECHO = 0.25
"""Seconds from a hint to a look at the whole queue at most, however many hints follow."""
DOUBT = 0.05
"""Seconds after a claim that found less than it asked for until the engine looks again."""


class Poller:
    """Args:
    floors: from where the engine claims.
    options: the backend's options.
    """

    def __init__(self, floors: Watermarks, options: BackendOptions) -> None:
        self._floors = floors
        self._poll_interval = options.poll_interval
        self._notifier = get_notifier(options.database)
        self.hungry = [True, True]
        """Whether more jobs may be ready: for threads, and for the event loop."""
        self._look_at = 0.0
        self._echo_at = float("inf")
        self._doubt_pause = DOUBT

    def open(self, promotion: Timer) -> None:
        """Listen from now on.

        Args:
            promotion: asks the database which queues have jobs and when the next one is due.
        """
        self._promotion = promotion
        self._listener = self._notifier.listen(Hint.WORK, Hint.CONTROL, Hint.WATCH)

    def close(self) -> None:
        self._listener.close()

    def fileno(self) -> int | None:
        """Return what becomes readable when hints come; None if that can't be told."""
        return self._listener.fileno()

    @property
    def expects(self) -> bool:
        """Whether jobs may be ready, also such as the next sweep will find."""
        return any(self.hungry) or self._floors.owes_sweep

    @property
    def interval(self) -> float:
        """Seconds after which the engine wakes at the latest."""
        return self._listener.check_interval

    @property
    def look_at(self) -> float:
        """When to look at the whole queue (monotonic clock)."""
        return min(self._look_at, self._echo_at)

    def hints(self) -> set[Hint]:
        """Return the hints that came, and expect jobs if one says so."""
        hints = self._listener.receive()
        if Hint.WORK in hints:
            self.expect()
            now = time.monotonic()
            # Not sooner: whoever rang leaves out hints that follow this one closely.
            self._echo_at = now + self._listener.repoll_delay
            self._look_at = min(self._look_at, now + LONGEST_ECHO)
        return hints

    def expect(self, queues: Collection[str] | None = None) -> None:
        """Expect ready jobs: in these queues, if this engine serves one of them, or anywhere."""
        if queues is None or self._floors.serves(queues):
            self.hungry = [True, True]

    def expect_if_changed(self) -> None:
        """Expect jobs if something was written unnoticed, as far as that can be told."""
        if self._listener.changed():
            self.expect()

    def look_if_due(self) -> None:
        """Have the whole queue looked at if it is time."""
        now = time.monotonic()
        if now >= self.look_at:
            self._promotion.hasten()
            self._look_at = now + (self._listener.poll_interval or self._poll_interval)
            if now >= self._echo_at:
                self._echo_at = float("inf")
        if any(self.hungry) and self._floors.owes_sweep and not self._floors.sweeps_in:
            self.expect()  # what is claimed for one kind of jobs is a sweep for the other too

    def learn(self, room: ClaimRequest, exchange: ExchangeResult) -> None:
        """Expect more jobs only where a claim found all that it asked for."""
        self._floors.learn(room, exchange)
        short = []
        for lane, found, asked in room.found(exchange.claimed):
            self.hungry[lane] = found >= asked
            short += [found] if found < asked else []
        if short:
            self._doubt(found_some=any(short))

    def _doubt(self, *, found_some: bool) -> None:
        """See a little later whether jobs are ready that this claim passed over.

        Another engine's claim locks more rows than it takes, for a moment; others may for long.
        """
        longest = self._poll_interval
        self._doubt_pause = min(longest, DOUBT if found_some else 2 * self._doubt_pause)
        sweeps_in = 0.0 if found_some else self._floors.sweeps_in
        self._promotion.hasten(max(self._doubt_pause, sweeps_in))
