"""External APIs: a courier and a supplier that limit requests, and a bank that is often closed."""

import math
import time
from collections import Counter, defaultdict
from threading import Event, Lock
from typing import Any, NamedTuple

PLACES = ("at the sender", "in Linz", "in Salzburg", "in Innsbruck", "at the customer's")
REQUESTS_PER_BURST = 8
"""Requests that the courier answers before it refuses them for a second."""
CALLS_AT_ONCE, CALLS_PER_SECOND = 3, 40
"""Calls of a round that the supplier answers at once, and in any second."""
CLOSED = 2
"""Requests that the bank refuses before it books a payment."""


class Reply(NamedTuple):
    """An API's HTTP response."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}


class Courier:
    """The courier's API: 60 ms per request, and 429 for a second after every 8 answers."""

    def __init__(self, closing: Event) -> None:
        self.closing = closing
        self.lock = Lock()
        self.answers = 0
        self.refuses_until = 0.0

    def locate(self, number: int) -> Reply:
        """Return a parcel's place, or 429 with Retry-After."""
        with self.lock:
            wait = self.refuses_until - time.monotonic()
            if wait > 0:
                return Reply(429, {}, {"Retry-After": str(math.ceil(wait))})
            self.closing.wait(0.06)
            self.answers += 1
            if self.answers % REQUESTS_PER_BURST == 0:
                self.refuses_until = time.monotonic() + 1
        return Reply(200, {"parcel": number, "place": place_of(number)})


def place_of(number: int) -> str:
    """Return a parcel's place."""
    return PLACES[number * number % len(PLACES)]


class Supplier:
    """The supplier's API: 50 ms per call, and 429 if a round makes too many."""

    def __init__(self, closing: Event) -> None:
        self.closing = closing
        self.lock = Lock()
        self.open: Counter[int] = Counter()
        self.times: defaultdict[int, list[float]] = defaultdict(list)
        self.served: defaultdict[int, list[int]] = defaultdict(list)
        """The customers of a round's calls, in the order in which they arrived."""
        self.refusals: Counter[int] = Counter()

    def tell(self, round_id: int, customer: int) -> Reply:
        """Return a customer's stock, or 429 with Retry-After."""
        with self.lock:
            now = time.monotonic()
            recent = sum(moment > now - 1 for moment in self.times[round_id])
            if self.open[round_id] >= CALLS_AT_ONCE or recent >= CALLS_PER_SECOND:
                self.refusals[round_id] += 1
                return Reply(429, {}, {"Retry-After": "1"})
            self.open[round_id] += 1
            self.times[round_id].append(now)
            self.served[round_id].append(customer)
            turn = len(self.served[round_id])
        self.closing.wait(0.05)
        with self.lock:
            self.open[round_id] -= 1
        return Reply(200, {"turn": turn, "stock": 7 * customer})


class Bank:
    """The bank's API: it books a payment at the third request, and only once."""

    def __init__(self, closing: Event) -> None:
        self.closing = closing
        self.asked: Counter[int] = Counter()
        self.booked: Counter[int] = Counter()
        self.lock = Lock()

    def book(self, payment: int) -> Reply:
        """Book a payment, or return 503 while the bank is closed, after 300 ms."""
        self.closing.wait(0.3)
        with self.lock:
            self.asked[payment] += 1
            if self.asked[payment] <= CLOSED:
                return Reply(503, {"title": "The bank is closed."})
            self.booked[payment] = 1
            return Reply(200, {"receipt": f"R-{payment:05}", "asked": self.asked[payment]})
