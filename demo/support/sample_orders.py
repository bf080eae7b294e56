"""The sample orders: a generated year of them."""

import csv
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

ORDERS = 100_000
COUNTRIES = ("AT", "CH", "DE", "FR", "IT")
PRODUCTS = {
    "Alpine honey": 890,
    "Beeswax candle": 1250,
    "Felt slippers": 3900,
    "Hand-thrown mug": 2450,
    "Larch bread board": 4600,
    "Linen towel": 1990,
    "Mountain tea": 675,
    "Pocket knife": 3250,
    "Wool blanket": 11900,
}


class GeneratedOrder(NamedTuple):
    """One line of the file of orders."""

    number: int
    date: date
    country: str
    product: str
    quantity: int
    cents_each: int


def orders() -> Iterator[GeneratedOrder]:
    """Yield a year of orders, the same at every call."""
    chance = random.Random(2025)
    products = list(PRODUCTS)
    for number in range(1, ORDERS + 1):
        product = chance.choices(products, weights=range(1, len(products) + 1))[0]
        yield GeneratedOrder(
            number=number,
            date=date(2025, 1, 1) + timedelta(days=chance.randrange(365)),
            country=chance.choices(COUNTRIES, weights=(3, 2, 6, 4, 2))[0],
            product=product,
            quantity=chance.randint(1, 5),
            cents_each=PRODUCTS[product],
        )


def write_orders(path: Path) -> None:
    """Write the orders as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["number", "date", "country", "product", "quantity", "price"])
        for order in orders():
            lines.writerow([*order[:5], f"{order.cents_each / 100:.2f}"])
