"""Statistics of 400,000 visits."""

from typing import Any

from django.db.models import Count

from offload import track
from shop.models import Visit


def add_up() -> dict[str, Any]:
    """Return the visits of each product: their number, durations and busiest hour."""
    products = Visit.objects.order_by("product").values_list("product", flat=True).distinct()
    return {
        "visits": Visit.objects.count(),
        "products": [of_product(name) for name in track(list(products), "Adding up visits")],
    }


def of_product(product: str) -> dict[str, Any]:
    """Return the number of visits, two percentiles of their seconds, and the busiest hour."""
    visits = Visit.objects.filter(product=product)
    seconds = visits.order_by("seconds").values_list("seconds", flat=True)
    hours = visits.values("hour").annotate(visits=Count("pk")).order_by("-visits", "hour")
    count = visits.count()
    return {
        "product": product,
        "visits": count,
        "median": seconds[count // 2],
        "longest": seconds[count * 95 // 100],
        "busiest": hours[0]["hour"],
    }
