"""Is what the shop did right? Each check looks for itself and raises Wrong if not."""

import sqlite3
from collections import Counter
from contextlib import closing
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple

from PIL import Image, ImageChops, ImageStat

from stage import orderbook, traffic
from stage.firms import CLOSED, place_of
from stage.outside import Outside
from stage.visitor import Visitor, Wrong

SIZES = [(1280, 853), (640, 427), (320, 213), (160, 107)]
LETTERS = 500
TOLERANCE = 4
"""Mean difference of two pictures' pixels, of 255, that JPEG may cause."""


class Stage(NamedTuple):
    """Where a check looks: as a visitor, into the shop's files, and at other firms."""

    visitor: Visitor
    var: Path
    outside: Outside


def same(what: str, found: object, expected: object) -> None:
    """Raise Wrong unless what was found is what was expected."""
    if found != expected:
        raise Wrong(f"{what}: {shortened(found)} instead of {shortened(expected)}")


def check_photos(stage: Stage, result: dict[str, Any]) -> None:
    """Each thumbnail shows the photo at its size, and the sheet shows each thumbnail."""
    photo = Image.open(stage.var / "samples" / "photo.jpg")
    sheet = fetch(stage.visitor, result["sheet"]["url"])
    thumbnails = [fetch(stage.visitor, entry["url"]) for entry in result["thumbnails"]]
    same("sizes of thumbnails", [thumbnail.size for thumbnail in thumbnails], SIZES)
    for entry, thumbnail in zip(result["thumbnails"], thumbnails, strict=True):
        left, top = entry["left"], entry["top"]
        cutting = sheet.crop((left, top, left + thumbnail.width, top + thumbnail.height))
        if difference(thumbnail, photo.resize(thumbnail.size)) > TOLERANCE:
            raise Wrong(f"{entry['url']} does not show the photo")
        if difference(thumbnail, cutting) > TOLERANCE:
            raise Wrong(f"the contact sheet does not show {entry['url']}")


def fetch(visitor: Visitor, url: str) -> Image.Image:
    """Return a picture as the browser gets it."""
    return Image.open(BytesIO(visitor.read(url)))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return how far the pixels of two pictures are apart, from 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def check_orders(stage: Stage, result: dict[str, Any]) -> None:
    """All orders are rows, and the report says what the order book says."""
    months: dict[str, Counter[str]] = {}
    products: Counter[str] = Counter()
    for order in orderbook.orders():
        cents = order.quantity * order.cents_each
        months.setdefault(f"{order.date:%Y-%m}", Counter())[order.country] += cents
        products[order.product] += cents
    top = [{"product": name, "cents": cents} for name, cents in products.most_common(3)]
    totals = (orderbook.ORDERS, products.total())
    same("orders and cents", (result["orders"], result["cents"]), totals)
    same("orders and cents in the database", stored_totals(stage.var, result["import"]), totals)
    same("revenue by month and country", result["months"], months)
    same("top products", result["products"], top)


def stored_totals(var: Path, import_id: int) -> tuple[int, int]:
    """Return the number of an import's orders and their sum, straight from the database."""
    query = "SELECT COUNT(*), SUM(cents) FROM shop_order WHERE order_import_id = ?"
    with closing(sqlite3.connect(var / "shop.sqlite3")) as database:
        orders, cents = database.execute(query, [import_id]).fetchone()
    return orders, cents


def check_mails(stage: Stage, result: dict[str, Any]) -> None:
    """The mail server has received one letter for each customer, and no more."""
    letters = (stage.var / "mailbox" / str(result["newsletter"])).glob("*.eml")
    received = Counter(message_from_bytes(letter.read_bytes())["X-RcptTo"] for letter in letters)
    expected = Counter(f"customer-{number:03}@example.com" for number in range(LETTERS))
    same("letters missing", list(expected - received), [])
    same("letters too many", list(received - expected), [])
    same("letters on the page", result["received"], LETTERS)


def check_visits(_stage: Stage, result: dict[str, Any]) -> None:
    """The statistics say what comes of adding up the visits in another way."""
    seconds: dict[str, list[int]] = {}
    hours: dict[str, Counter[int]] = {}
    for visit in traffic.visits():
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
    same("visits", result["visits"], traffic.VISITS)
    same("statistics", result["products"], expected)


def check_parcels(_stage: Stage, result: dict[str, Any]) -> None:
    """Each parcel is where it is, although the courier did not want to say it so fast."""
    same("places", result["places"], [place_of(number) for number in range(1, 25)])
    if not result["refusals"]:
        raise Wrong("the courier has refused nothing")


def check_payment(stage: Stage, result: dict[str, Any]) -> None:
    """In the background the bank was asked until it booked, once; else it was asked once."""
    bank, payment = stage.outside.bank, result["payment"]
    in_background = "error" not in result
    same("how often asked", bank.asked[payment], CLOSED + 1 if in_background else 1)
    same("how often booked", bank.booked[payment], int(in_background))
