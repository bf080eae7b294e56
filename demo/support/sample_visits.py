"""The sample visits: generated views of products."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from support.sample_orders import PRODUCTS

VISITS = 400_000
HOURS = (1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 13, 11, 10, 10, 11, 13, 16, 19, 21, 17, 9, 4)
"""Weight of each hour of the day."""


class GeneratedVisit(NamedTuple):
    """One view of a product."""

    product: str
    hour: int
    seconds: int


def visits() -> Iterator[GeneratedVisit]:
    """Yield the visits, the same at every call."""
    chance = random.Random(2026)
    popularity = range(len(PRODUCTS), 0, -1)
    products = chance.choices(list(PRODUCTS), weights=popularity, k=VISITS)
    hours = chance.choices(range(24), weights=HOURS, k=VISITS)
    for product, hour in zip(products, hours, strict=True):
        yield GeneratedVisit(product, hour, 1 + int(chance.expovariate(1 / 40)))


def record_visits(path: Path) -> None:
    """Write the visits into the shop's database in one transaction, unless they exist."""
    statement = "INSERT INTO shop_visit (product, hour, seconds) VALUES (?, ?, ?)"
    with closing(sqlite3.connect(path)) as database, database:
        if database.execute("SELECT NOT EXISTS (SELECT 1 FROM shop_visit)").fetchone()[0]:
            database.executemany(statement, visits())
