"""The stock of 40 customers, from a supplier's API that limits calls."""

from typing import Any

from offload import Retry
from shop import api_client
from shop.models import Call, StockRound

CUSTOMERS = range(1, 41)
LARGE = 1
"""The customer with a hundred calls; the others have two each."""
CALLS_OF_LARGE, CALLS_OF_OTHERS = 100, 2


def calls() -> list[int]:
    """Return the customer of each call; those of the large one come first."""
    others = [number for number in CUSTOMERS if number != LARGE]
    return [LARGE] * CALLS_OF_LARGE + sorted(others * CALLS_OF_OTHERS)


def ask(customer: int, round_id: int) -> None:
    """Make one call for a customer, and store as which call the supplier answered it.

    Raises:
        Retry: if the supplier refuses it, because there are too many.
    """
    answer = api_client.request("GET", f"/stock/{round_id}/{customer}")
    if answer.status == 429:
        raise Retry(after=answer.retry_after)
    Call.objects.create(round_id=round_id, turn=answer.body["turn"], customer=customer)


def turns(stock_round: StockRound) -> dict[str, Any]:
    """Return who has got how many turns so far, and in which order."""
    found = list(stock_round.call_set.order_by("turn").values_list("turn", "customer"))
    rows = [
        {
            "customer": number,
            "got": sum(customer == number for _, customer in found),
            "wanted": CALLS_OF_LARGE if number == LARGE else CALLS_OF_OTHERS,
            "last": max((turn for turn, customer in found if customer == number), default=0),
        }
        for number in CUSTOMERS
    ]
    others = [row for row in rows if row["customer"] != LARGE]
    return {
        "customers": rows,
        "large": rows[LARGE - 1],
        "others": len(others),
        "served": sum(row["got"] >= row["wanted"] for row in others),
        "last": max(row["last"] for row in others),
        "order": [customer for _, customer in found],
    }
