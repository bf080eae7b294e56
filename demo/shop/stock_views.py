"""The page of the supplier's API: who gets how many turns, with turns and without."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.tasks import Task
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

import offload
from shop import stock, tasks
from shop.cards import keep_job, last_job, visitor_of
from shop.models import StockRound

WAYS = {"turns": "Customers take turns", "order": "First come, first served"}


@never_cache
def show(request: HttpRequest) -> HttpResponse:
    """Show the visitor's last round of each way."""
    visitor = visitor_of(request)
    ways = [way_of(name, label, last_job(visitor, name)) for name, label in WAYS.items()]
    return render(request, "shop/stock.html", {"ways": ways})


@require_POST
@offload.idempotent
def in_turns(request: HttpRequest) -> HttpResponse:
    return start(request, "turns", tasks.ask_in_turns)


@require_POST
@offload.idempotent
def in_order(request: HttpRequest) -> HttpResponse:
    return start(request, "order", tasks.ask_in_order)


def start(request: HttpRequest, name: str, task: Task) -> HttpResponse:
    """Enqueue all calls of a round: those of the large customer before all others."""
    stock_round = StockRound.objects.create()
    with offload.workflow(f"{len(stock.calls())} calls") as flow:
        flow.map(task, stock.calls(), round_id=stock_round.pk)
    stock_round.job = flow.result.id
    stock_round.save()
    keep_job(request, name, flow.result)
    return offload.accepted(request, flow.result)


def way_of(name: str, label: str, flow: offload.WorkflowResult | None) -> dict[str, Any]:
    """Return what the page shows of one way."""
    stock_round = StockRound.objects.filter(job=flow.id).first() if flow else None
    turns = stock.turns(stock_round) if stock_round else None
    return {"name": name, "label": label, "url": f"stock-{name}", "flow": flow, "turns": turns}
