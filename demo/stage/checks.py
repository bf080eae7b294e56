"""Is what the shop did right? Each check looks for itself and raises Wrong if not."""

import sqlite3
from collections import Counter
from contextlib import closing
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from PIL import Image, ImageChops, ImageStat

from stage import orderbook
from stage.visitor import Visitor, Wrong

SIZES = [(1280, 853), (640, 427), (320, 213), (160, 107)]
LETTERS = 500
TOLERANCE = 4
"""Mean difference of two pictures' pixels, of 255, that JPEG may cause."""


def same(what: str, found: object, expected: object) -> None:
    """Raise Wrong unless what was found is what was expected."""
    if found != expected:
        raise Wrong(f"{what}: {shortened(found)} instead of {shortened(expected)}")


def check_photos(visitor: Visitor, var: Path, result: dict[str, Any]) -> None:
    """Each thumbnail shows the photo at its size, and the sheet shows each thumbnail."""
    photo = Image.open(var / "samples" / "photo.jpg")
    sheet = fetch(visitor, result["sheet"]["url"])
    thumbnails = [fetch(visitor, entry["url"]) for entry in result["thumbnails"]]
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


def check_orders(_visitor: Visitor, var: Path, result: dict[str, Any]) -> None:
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
    same("orders and cents in the database", stored_totals(var, result["import"]), totals)
    same("revenue by month and country", result["months"], months)
    same("top products", result["products"], top)


def stored_totals(var: Path, import_id: int) -> tuple[int, int]:
    """Return the number of an import's orders and their sum, straight from the database."""
    query = "SELECT COUNT(*), SUM(cents) FROM shop_order WHERE order_import_id = ?"
    with closing(sqlite3.connect(var / "shop.sqlite3")) as database:
        orders, cents = database.execute(query, [import_id]).fetchone()
    return orders, cents


def check_mails(_visitor: Visitor, var: Path, result: dict[str, Any]) -> None:
    """The mail server has received one letter for each customer, and no more."""
    letters = (var / "mailbox" / str(result["newsletter"])).glob("*.eml")
    received = Counter(message_from_bytes(letter.read_bytes())["X-RcptTo"] for letter in letters)
    expected = Counter(f"customer-{number:03}@example.com" for number in range(LETTERS))
    same("letters missing", list(expected - received), [])
    same("letters too many", list(received - expected), [])
    same("letters on the page", result["received"], LETTERS)
