"""The pages to watch, run and checked without a browser."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from PIL import Image

from support.apis import CALLS_AT_ONCE
from support.checks import TOLERANCE, Context, difference, fetch, same
from support.visitor import CheckFailed, Visitor

Check = Callable[[Context], float]
"""Returns the seconds that the shop took to accept the work; may raise CheckFailed."""
COLUMNS, ROWS, DAMAGED = 4, 3, 7
CUSTOMERS, LARGE = 40, 1
PERIOD = timedelta(seconds=2)


def check_import(context: Context) -> float:
    """Import pictures of which one is damaged, repair it, and check what runs again."""
    visitor = context.visitor
    visitor.read("/pictures/")
    started = perf_counter()
    first = visitor.enqueue("/pictures/start/", damaged="on")
    seconds = perf_counter() - started
    last = visitor.follow(first)
    same("phase with a damaged picture", last["phase"], "failed")
    _, *before = visitor.jobs("/pictures/")
    phases = {"succeeded": COLUMNS * ROWS, "failed": 1, "cancelled": 1}
    same("parts", Counter(part["phase"] for part in before), phases)
    same("part that failed", before[DAMAGED]["phase"], "failed")
    same("its error", before[DAMAGED]["error"]["title"], "The file of picture 7 is not complete.")
    last = visitor.follow(visitor.enqueue("/pictures/retry/"))
    same("phase after the retry", last["phase"], "succeeded")
    _, *after = visitor.jobs("/pictures/")
    again = [new["title"] for old, new in zip(before, after, strict=True) if old != new]
    same("parts that ran again", again, ["Thumbnail", "Contact sheet"])
    check_pictures(context, visitor.result("pictures", visitor.read("/pictures/")))
    return seconds


def check_pictures(context: Context, result: dict[str, Any]) -> None:
    """Check that each thumbnail shows its part of the photo, and the sheet each thumbnail."""
    photo = Image.open(context.var / "samples" / "photo.jpg")
    width, height = photo.width // COLUMNS, photo.height // ROWS
    sheet = fetch(context.visitor, result["sheet"]["url"])
    same("thumbnails", len(result["thumbnails"]), COLUMNS * ROWS)
    for place, entry in enumerate(result["thumbnails"]):
        left, top = place % COLUMNS * width, place // COLUMNS * height
        thumbnail = fetch(context.visitor, entry["url"])
        part = photo.crop((left, top, left + width, top + height)).resize(thumbnail.size)
        if difference(thumbnail, part) > TOLERANCE:
            raise CheckFailed(f"{entry['url']} does not show picture {place + 1}")
        left, top = entry["left"], entry["top"]
        cutting = sheet.crop((left, top, left + thumbnail.width, top + thumbnail.height))
        if difference(thumbnail, cutting) > TOLERANCE:
            raise CheckFailed(f"the contact sheet does not show {entry['url']}")


def check_turns(context: Context) -> float:
    """Make calls for 40 customers and check that no small one waited behind the large one."""
    visitor = context.visitor
    visitor.read("/stock/")
    started = perf_counter()
    first = visitor.enqueue("/stock/turns/")
    seconds = perf_counter() - started
    same("phase", visitor.follow(first)["phase"], "succeeded")
    supplier = context.apis.supplier
    served = supplier.served[max(supplier.served)]
    expected = dict.fromkeys(range(1, CUSTOMERS + 1), 2) | {LARGE: 100}
    same("calls", Counter(served), expected)
    same("calls that the supplier refused", supplier.refusals.total(), 0)
    got: Counter[int] = Counter()
    for customer in served:
        got[customer] += 1
        # A turn of each, and those that run at once: they may arrive in another order.
        if customer != LARGE and got[LARGE] > got[customer] + CALLS_AT_ONCE:
            raise CheckFailed(f"customer {customer} waited for {got[LARGE]} calls of the large one")
    shown = visitor.result("turns", visitor.read("/stock/"))
    same("order on the page", shown["order"], served)
    same("turns on the page", {row["customer"]: row["got"] for row in shown["customers"]}, expected)
    return seconds


def check_ticks(context: Context) -> float:
    """Wait for a tick; pause the schedule, run it in between, resume it, and wait for another."""
    visitor = context.visitor
    newest_tick(visitor, after=datetime.now(UTC))
    visitor.press("/schedules/interval/pause/")
    paused = datetime.now(UTC)
    same("state", interval(visitor)["state"], "paused")
    started = perf_counter()
    extra = visitor.enqueue("/schedules/interval/run/")
    seconds = perf_counter() - started
    same("phase of the extra run", visitor.follow(extra)["phase"], "succeeded")
    resumed = paused + 1.2 * PERIOD  # at least one tick would have come by then
    visitor.wait("the end of the pause", lambda: datetime.now(UTC) > resumed or None)
    ticks = map(datetime.fromisoformat, interval(visitor)["ticks"])
    same("ticks during the pause", [tick for tick in ticks if tick > paused], [])
    visitor.press("/schedules/interval/resume/")
    newest_tick(visitor, after=resumed)
    return seconds


def newest_tick(visitor: Visitor, after: datetime) -> None:
    """Wait for a tick after a time; check that each came once, at a whole multiple."""

    def newer() -> list[datetime] | None:
        ticks = [datetime.fromisoformat(tick) for tick in interval(visitor)["ticks"]]
        return ticks if ticks and ticks[0] > after else None

    ticks = visitor.wait("a tick", newer)
    same("ticks, the newest first", ticks, sorted(set(ticks), reverse=True))
    seconds = [tick.timestamp() % PERIOD.total_seconds() for tick in ticks]
    same("seconds beside the interval", [*filter(None, seconds)], [])


def interval(visitor: Visitor) -> dict[str, Any]:
    """Return what the page shows of the schedule with an interval."""
    return visitor.result("schedules", visitor.read("/schedules/"))["interval"]


CHECKS: dict[str, Check] = {
    "import of 12 pictures": check_import,
    "178 calls of 40 customers": check_turns,
    "schedules that tick": check_ticks,
}
