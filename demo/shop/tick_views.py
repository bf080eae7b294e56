"""The page of the schedules, which tick while it is open."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

import offload
from offload import schedules
from offload.live import prefetch_status
from shop import ticks
from shop.cards import visitor_of


@never_cache
def show(request: HttpRequest) -> HttpResponse:
    """Show both schedules with their last ticks."""
    visitor_of(request)
    shown = [row_of(name) for name in ticks.NAMES]
    prefetch_status(request, [tick["job"] for row in shown for tick in row["ticks"]])
    return render(request, "shop/schedules.html", {"rows": shown, "facts": facts(shown)})


@require_POST
def pause(request: HttpRequest, name: str) -> HttpResponse:
    find(name).pause(reason="A visitor has paused it", changed_by="a visitor")
    return redirect("schedules")


@require_POST
def resume(request: HttpRequest, name: str) -> HttpResponse:
    find(name).resume()
    return redirect("schedules")


@require_POST
def run(request: HttpRequest, name: str) -> HttpResponse:
    """Enqueue an extra job; this moves no tick, and works during a pause, too."""
    return offload.accepted(request, find(name).run_now())


def find(name: str) -> schedules.StoredSchedule:
    """Return a schedule, or respond with 404."""
    schedule = ticks.find(name) if name in ticks.NAMES else None
    if schedule is None:
        raise Http404(f"There is no schedule {name}.")
    return schedule


def row_of(name: str) -> dict[str, Any]:
    """Return what the page shows of a schedule."""
    schedule = ticks.find(name)
    shown = ticks.last_ticks(schedule)
    for tick in shown:
        tick["due"] = tick["scheduled_for"] and parse_datetime(tick["scheduled_for"])
    return {"name": name, "schedule": schedule, "ticks": shown}


def facts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        row["name"]: {
            "state": row["schedule"].state if row["schedule"] else None,
            "ticks": [tick["scheduled_for"] for tick in row["ticks"] if tick["scheduled_for"]],
        }
        for row in rows
    }
