"""The slow work, as tasks: what people see of it, and how often it is tried."""

import asyncio
from typing import Any

from offload import Fixed, Snooze, UserFacingError, current_job, progress, task
from shop import imaging, mails, orders, parcels, payments, visits
from shop.models import Newsletter
from shop.results import page_of


@task(title="Thumbnails", timeout=120, expose_result=page_of("photos"))
def make_previews(photo_id: int) -> dict[str, Any]:
    """Make the thumbnails and the contact sheet of a photo."""
    return imaging.make_previews(photo_id)


@task(title="Report", timeout=600, expose_result=page_of("orders"))
def import_orders(import_id: int) -> dict[str, Any]:
    """Import a file of orders and report about them."""
    return orders.import_orders(import_id)


@task(queue_name="mail", priority=-10, max_attempts=5, timeout=30)
def send_letter(newsletter_id: int, address: str) -> None:
    """Send the newsletter to one customer."""
    mails.send_letter(newsletter_id, address)


@task(title="Newsletter", timeout=600, expose_result=page_of("mails"))
async def watch_newsletter(newsletter_id: int) -> dict[str, Any]:
    """Tell how many letters are sent, until all are."""
    newsletter = await Newsletter.objects.aget(pk=newsletter_id)
    ended, failed = 0, 0
    while ended < len(newsletter.jobs):
        await asyncio.sleep(0.2)
        ended, failed = await asyncio.to_thread(mails.tally, newsletter)
        progress(ended, len(newsletter.jobs), "Letters to customers")
    if failed:
        raise UserFacingError(f"{failed} letters could not be sent.")
    return mails.receipt(newsletter_id)


@task(title="Statistics", timeout=120, expose_result=page_of("visits"))
def add_up_visits() -> dict[str, Any]:
    """Add up what visitors looked at."""
    return visits.add_up()


@task(title="Parcels", timeout=60, expose_result=page_of("parcels"))
def locate_parcels(enquiry_id: int) -> dict[str, Any]:
    """Ask the courier where the parcels are; while it refuses, no thread waits."""
    try:
        return parcels.locate(enquiry_id)
    except parcels.TooOften as refusal:
        raise Snooze(refusal.seconds) from refusal


@task(
    title="Payment",
    timeout=30,
    max_attempts=5,
    retry_on=(payments.BankClosed, OSError),
    backoff=Fixed(1),
    expose_result=page_of("payment"),
)
def pay(payment_id: int) -> dict[str, Any]:
    """Pay; if the bank is closed, it is tried again."""
    progress(message=f"Asking the bank, attempt {current_job().attempt}")
    return payments.pay(payment_id)
