"""The newsletter: one e-mail to each customer."""

from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage

CUSTOMERS = 500
TEXT = """Dear customer,

our autumn catalogue is here, and this letter did not keep anybody waiting.

The shop
"""


def addresses() -> list[str]:
    """Return the customers' addresses."""
    return [f"customer-{number:03}@example.com" for number in range(CUSTOMERS)]


def send_letter(newsletter_id: int, address: str) -> None:
    """Send the newsletter to one customer."""
    EmailMessage(
        subject="Our autumn catalogue",
        body=TEXT,
        to=[address],
        headers={"X-Newsletter": str(newsletter_id)},
    ).send()


def receipt(newsletter_id: int) -> dict[str, Any]:
    """Return how many letters the mail server has received."""
    received = sum(1 for _ in (settings.MAILBOX / str(newsletter_id)).glob("*.eml"))
    return {"newsletter": newsletter_id, "received": received}
