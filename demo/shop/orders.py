"""The import of a file of orders, and a report on them."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import batched
from pathlib import Path
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncMonth

from offload import progress, track
from shop.models import Order, OrderImport

CHUNK = 500


def import_orders(import_id: int) -> dict[str, Any]:
    """Import a file of orders and return a report on them."""
    order_import = OrderImport.objects.get(pk=import_id)
    order_import.order_set.all().delete()  # rows of an interrupted attempt
    rows = track(read(order_import), "Reading orders", total=count(order_import), step=(1, 2))
    # SQLite has one writer: short transactions let web requests write in between.
    for orders in batched(rows, CHUNK):
        Order.objects.bulk_create(orders)
    progress(message="Adding up", step=(2, 2))
    result = report(order_import)
    progress(1, 1, step=(2, 2))
    return result


def count(order_import: OrderImport) -> int:
    """Return the number of orders in the file: its lines without the header."""
    with Path(order_import.path).open("rb") as file:
        return sum(1 for _ in file) - 1


def read(order_import: OrderImport) -> Iterator[Order]:
    """Yield the orders of the file, unsaved."""
    with Path(order_import.path).open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            quantity = int(line["quantity"])
            yield Order(
                order_import=order_import,
                number=int(line["number"]),
                ordered_on=date.fromisoformat(line["date"]),
                country=line["country"],
                product=line["product"],
                quantity=quantity,
                cents=int(quantity * Decimal(line["price"]) * 100),
            )


def report(order_import: OrderImport) -> dict[str, Any]:
    """Return the revenue in cents by month and country, and the top products."""
    orders = order_import.order_set
    return {
        "import": order_import.pk,
        "orders": orders.count(),
        "cents": orders.aggregate(cents=Sum("cents"))["cents"],
        "months": revenue_by_month(order_import),
        "products": list(
            orders.values("product").annotate(cents=Sum("cents")).order_by("-cents", "product")[:3]
        ),
    }


def revenue_by_month(order_import: OrderImport) -> dict[str, dict[str, int]]:
    """Return {"2025-01": {"AT": cents, ...}, ...}."""
    rows = (
        order_import.order_set.annotate(month=TruncMonth("ordered_on"))
        .values_list("month", "country")
        .annotate(cents=Sum("cents"))
        .order_by("month", "country")
    )
    months: dict[str, dict[str, int]] = defaultdict(dict)
    for month, country, cents in rows:
        months[f"{month:%Y-%m}"][country] = cents
    return months
