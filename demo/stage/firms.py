"""Two firms that the shop depends on, as they are: one is slow and strict, one often closed."""

import math
import time
from collections import Counter, deque
from threading import Event, Lock
from typing import Any, NamedTuple

PLACES = ("at the sender", "in Linz", "in Salzburg", "in Innsbruck", "at the customer's")
PER_SECOND = 8
CLOSED = 2
"""How often the bank is closed before it books a payment."""


class Reply(NamedTuple):
    """What a firm answers over HTTP."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}


class Courier:
    """Knows where parcels are; takes 60 ms for an answer, and gives 8 in a second at most."""

    def __init__(self, closing: Event) -> None:
        self.closing = closing
        self.lock = Lock()
        self.recent: deque[float] = deque()
        self.refusals = 0

    def locate(self, number: int) -> Reply:
        """Say where a parcel is, or when to ask again."""
        with self.lock:
            wait = self.wait_needed()
            self.refusals += wait > 0
        if wait > 0:
            return Reply(429, {}, {"Retry-After": str(math.ceil(wait))})
        self.closing.wait(0.06)
        return Reply(200, {"parcel": number, "place": place_of(number)})

    def wait_needed(self) -> float:
        """Count one request; return 0, or after how many seconds it would not be too many."""
        now = time.monotonic()
        while self.recent and self.recent[0] <= now - 1:
            self.recent.popleft()
        if len(self.recent) == PER_SECOND:
            return self.recent[0] + 1 - now
        self.recent.append(now)
        return 0


def place_of(number: int) -> str:
    """Return where a parcel is."""
    return PLACES[number * number % len(PLACES)]


class Bank:
    """Books a payment when it is asked for the third time, and however often it is asked, once."""

    def __init__(self, closing: Event) -> None:
        self.closing = closing
        self.asked: Counter[int] = Counter()
        self.booked: Counter[int] = Counter()
        self.lock = Lock()

    def book(self, payment: int) -> Reply:
        """Take 300 ms; then book a payment, or be closed."""
        self.closing.wait(0.3)
        with self.lock:
            self.asked[payment] += 1
            if self.asked[payment] <= CLOSED:
                return Reply(503, {"title": "The bank is closed."})
            self.booked[payment] = 1
            return Reply(200, {"receipt": f"R-{payment:05}", "asked": self.asked[payment]})
