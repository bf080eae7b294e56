"""The slow work, as tasks."""

from typing import Any

from offload import task
from shop import imaging, mails, orders


@task(timeout=120)
def make_previews(photo_id: int) -> dict[str, Any]:
    """Make the thumbnails and the contact sheet of a photo."""
    return imaging.make_previews(photo_id)


@task(timeout=600)
def import_orders(import_id: int) -> dict[str, Any]:
    """Import a file of orders."""
    return orders.import_orders(import_id)


@task(queue_name="mail", priority=-10, max_attempts=5, timeout=30)
def send_letter(newsletter_id: int, address: str) -> None:
    """Send the newsletter to one customer."""
    mails.send_letter(newsletter_id, address)
