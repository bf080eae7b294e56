"""Two firms that the shop depends on, as they are: one is slow and strict, one often closed."""

import math
import time
from collections import Counter
from threading import Event, Lock
from typing import Any, NamedTuple

PLACES = ("at the sender", "in Linz", "in Salzburg", "in Innsbruck", "at the customer's")
IN_A_ROW = 8
"""Answers that the courier gives before it rests."""
CLOSED = 2
"""How often the bank is closed before it books a payment."""


class Reply(NamedTuple):
    """What a firm answers over HTTP."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}


class Courier:
    """Knows where parcels are; takes 60 ms to say it, and a second's rest after 8 answers."""

    def __init__(self, closing: Event) -> None:
        self.closing = closing
        self.lock = Lock()
        self.answers = 0
        self.rest_until = 0.0

    def locate(self, number: int) -> Reply:
        """Say where a parcel is, or when to ask again."""
        with self.lock:
            wait = self.rest_until - time.monotonic()
            if wait > 0:
                return Reply(429, {}, {"Retry-After": str(math.ceil(wait))})
            self.closing.wait(0.06)
            self.answers += 1
            if self.answers % IN_A_ROW == 0:
                self.rest_until = time.monotonic() + 1
        return Reply(200, {"parcel": number, "place": place_of(number)})


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
