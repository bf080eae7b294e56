"""The newsletter: one email to each customer."""

from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.tasks import TaskResultStatus

from offload import JobState
from offload.models import Job
from shop.models import Newsletter

CUSTOMERS = 500
TEXT = """Dear customer,

our autumn catalogue is here, and sending this email kept nobody waiting.

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


def send_all(newsletter_id: int) -> dict[str, Any]:
    """Send the newsletter to all customers, one after the other."""
    for address in addresses():
        send_letter(newsletter_id, address)
    return receipt(newsletter_id)


def tally(newsletter: Newsletter) -> tuple[int, int]:
    """Return how many jobs of a newsletter have finished, and how many of them failed."""
    states = Job.objects.filter(pk__in=newsletter.jobs).values_list("state", flat=True)
    finished = [JobState(state) for state in states if JobState(state).is_finished]
    return len(finished), sum(state.status == TaskResultStatus.FAILED for state in finished)


def receipt(newsletter_id: int) -> dict[str, Any]:
    """Return how many letters the mail server has received."""
    received = sum(1 for _ in (settings.MAILBOX / str(newsletter_id)).glob("*.eml"))
    return {"newsletter": newsletter_id, "received": received}
