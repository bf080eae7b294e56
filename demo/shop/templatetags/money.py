"""Numbers as the shop writes them."""

from django import template

register = template.Library()


@register.filter
def whole(number: int) -> str:
    """Return 1234567 as 1,234,567."""
    return f"{number:,}"


@register.filter
def euros(cents: int, places: int = 0) -> str:
    """Return cents as euros."""
    return f"{cents / 100:,.{places}f}"


@register.filter
def thousands(cents: int) -> str:
    """Return cents as thousands of euros."""
    return f"{cents / 100_000:,.0f}"


@register.filter
def countries(months: dict[str, dict[str, int]]) -> list[str]:
    """Return the countries in the revenue by month and country."""
    return list(next(iter(months.values())))
