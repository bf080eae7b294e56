"""Checks of the shop's results. Each computes the result by itself and may raise CheckFailed."""

import sqlite3
from collections import Counter
from contextlib import closing
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple

from PIL import Image, ImageChops, ImageStat

from support import sample_orders, sample_visits
from support.api_server import ApiServer
from support.apis import CLOSED, place_of
from support.visitor import CheckFailed, Visitor

SIZES = [(1280, 853), (640, 427), (320, 213), (160, 107)]
LETTERS = 500
TOLERANCE = 4
"""Largest mean difference of two pictures' pixels, of 255, that JPEG may cause."""


class Context(NamedTuple):
    """What a check can inspect: pages as a visitor, the shop's files, and the external APIs."""

    visitor: Visitor
    var: Path
    apis: ApiServer


def same(what: str, found: object, expected: object) -> None:
    """Raise CheckFailed unless both values are equal."""
    if found != expected:
        raise CheckFailed(f"{what}: {shortened(found)} instead of {shortened(expected)}")


def check_photos(context: Context, result: dict[str, Any]) -> None:
    """Check that each thumbnail shows the photo and the sheet shows each thumbnail."""
    photo = Image.open(context.var / "samples" / "photo.jpg")
    sheet = fetch(context.visitor, result["sheet"]["url"])
    thumbnails = [fetch(context.visitor, entry["url"]) for entry in result["thumbnails"]]
    same("sizes of thumbnails", [thumbnail.size for thumbnail in thumbnails], SIZES)
    for entry, thumbnail in zip(result["thumbnails"], thumbnails, strict=True):
        left, top = entry["left"], entry["top"]
        cutting = sheet.crop((left, top, left + thumbnail.width, top + thumbnail.height))
        if difference(thumbnail, photo.resize(thumbnail.size)) > TOLERANCE:
            raise CheckFailed(f"{entry['url']} does not show the photo")
        if difference(thumbnail, cutting) > TOLERANCE:
            raise CheckFailed(f"the contact sheet does not show {entry['url']}")


def fetch(visitor: Visitor, url: str) -> Image.Image:
    """Return a picture as the browser gets it."""
    return Image.open(BytesIO(visitor.read(url)))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two pictures' pixels, from 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def check_orders(context: Context, result: dict[str, Any]) -> None:
    """Check that all orders are rows and that the report has the right sums."""
    months: dict[str, Counter[str]] = {}
    products: Counter[str] = Counter()
    for order in sample_orders.orders():
        cents = order.quantity * order.cents_each
        months.setdefault(f"{order.date:%Y-%m}", Counter())[order.country] += cents
        products[order.product] += cents
    top = [{"product": name, "cents": cents} for name, cents in products.most_common(3)]
    totals = (sample_orders.ORDERS, products.total())
    same("orders and cents", (result["orders"], result["cents"]), totals)
    same("orders and cents in the database", stored_totals(context.var, result["import"]), totals)
    same("revenue by month and country", result["months"], months)
    same("top products", result["products"], top)


def stored_totals(var: Path, import_id: int) -> tuple[int, int]:
    """Return the number of an import's orders and their sum, read from the database."""
    query = "SELECT COUNT(*), SUM(cents) FROM shop_order WHERE order_import_id = ?"
    with closing(sqlite3.connect(var / "shop.sqlite3")) as database:
        orders, cents = database.execute(query, [import_id]).fetchone()
    return orders, cents


def check_mails(context: Context, result: dict[str, Any]) -> None:
    """Check that the mail server received exactly one email for each customer."""
    letters = (context.var / "mailbox" / str(result["newsletter"])).glob("*.eml")
    received = Counter(message_from_bytes(letter.read_bytes())["X-RcptTo"] for letter in letters)
    expected = Counter(f"customer-{number:03}@example.com" for number in range(LETTERS))
    same("letters missing", list(expected - received), [])
    same("letters too many", list(received - expected), [])
    same("letters on the page", result["received"], LETTERS)


def check_visits(_context: Context, result: dict[str, Any]) -> None:
    """Check the statistics against sums that are computed in another way."""
    seconds: dict[str, list[int]] = {}
    hours: dict[str, Counter[int]] = {}
    for visit in sample_visits.visits():
        seconds.setdefault(visit.product, []).append(visit.seconds)
        hours.setdefault(visit.product, Counter())[visit.hour] += 1
    expected = [
        {
            "product": product,
            "visits": len(durations),
            "median": sorted(durations)[len(durations) // 2],
            "longest": sorted(durations)[len(durations) * 95 // 100],
            "busiest": max(sorted(hours[product]), key=hours[product].__getitem__),
        }
        for product, durations in sorted(seconds.items())
    ]
    same("visits", result["visits"], sample_visits.VISITS)
    same("statistics", result["products"], expected)


def check_parcels(_context: Context, result: dict[str, Any]) -> None:
    """Check the place of each parcel, and that the courier refused some requests."""
    same("places", result["places"], [place_of(number) for number in range(1, 25)])
    if not result["refusals"]:
        raise CheckFailed("the courier refused no request")


def check_payment(context: Context, result: dict[str, Any]) -> None:
    """Check that the bank was asked until it booked once; a blocking request asks it once."""
    bank, payment = context.apis.bank, result["payment"]
    in_background = "error" not in result
    same("requests to the bank", bank.asked[payment], CLOSED + 1 if in_background else 1)
    same("bookings by the bank", bank.booked[payment], int(in_background))
