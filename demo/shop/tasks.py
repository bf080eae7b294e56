"""The slow work as tasks, with titles, timeouts and retries."""

import asyncio
from typing import Any

from offload import (
    Concurrency,
    Fixed,
    Rate,
    Snooze,
    UserFacingError,
    current_job,
    progress,
    schedule,
    task,
)
from shop import imaging, mails, orders, parcels, payments, pictures, stock, ticks, visits
from shop.models import Newsletter
from shop.results import page_of


@task(title="Thumbnails", timeout=120, expose_result=page_of("photos"))
def make_previews(photo_id: int) -> dict[str, Any]:
    """Make the thumbnails and the contact sheet of a photo."""
    return imaging.make_previews(photo_id)


@task(title="Receive 12 pictures", timeout=120)
def receive_pictures(import_id: int, damaged: int | None) -> int:
    """Write the files of an import."""
    return pictures.receive(import_id, damaged)


@task(title="Thumbnail", timeout=120, max_attempts=1)
def make_thumbnail(number: int, import_id: int) -> dict[str, Any]:
    """Make the thumbnail of one picture."""
    return pictures.make_thumbnail(number, import_id)


@task(title="Contact sheet", timeout=120)
def make_sheet(thumbnails: list[dict[str, Any]], import_id: int) -> dict[str, Any]:
    """Put all thumbnails on one sheet."""
    return pictures.make_sheet(thumbnails, import_id)


@task(title="Report", timeout=600, expose_result=page_of("orders"))
def import_orders(import_id: int) -> dict[str, Any]:
    """Import a file of orders and return a report on them."""
    return orders.import_orders(import_id)


@task(queue_name="mail", priority=-10, max_attempts=5, timeout=30)
def send_letter(newsletter_id: int, address: str) -> None:
    """Send the newsletter to one customer."""
    mails.send_letter(newsletter_id, address)


@task(title="Newsletter", timeout=600, expose_result=page_of("mails"))
async def watch_newsletter(newsletter_id: int) -> dict[str, Any]:
    """Report how many emails have been sent until all have."""
    newsletter = await Newsletter.objects.aget(pk=newsletter_id)
    finished, failed = 0, 0
    while finished < len(newsletter.jobs):
        await asyncio.sleep(0.2)
        finished, failed = await asyncio.to_thread(mails.tally, newsletter)
        progress(finished, len(newsletter.jobs), "Emails to customers")
    if failed:
        raise UserFacingError(f"{failed} emails could not be sent.")
    return mails.receipt(newsletter_id)


@task(title="Statistics", timeout=120, expose_result=page_of("visits"))
def add_up_visits() -> dict[str, Any]:
    """Compute statistics of the visits."""
    return visits.add_up()


@task(title="Parcels", timeout=60, expose_result=page_of("parcels"))
def locate_parcels(enquiry_id: int) -> dict[str, Any]:
    """Request the places of the parcels; snooze, without a thread, while the courier refuses."""
    try:
        return parcels.locate(enquiry_id)
    except parcels.TooManyRequests as refusal:
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
    """Pay; retry while the bank is closed."""
    progress(message=f"Asking the bank, attempt {current_job().attempt}")
    return payments.pay(payment_id)


AT_ONCE, STARTS = Concurrency(3), Rate("30/s")


@task(concurrency=AT_ONCE, rate=STARTS, fair="{customer}", timeout=30, max_attempts=5)
def ask_in_turns(customer: int, round_id: int) -> None:
    """Ask the supplier; customers take turns."""
    stock.ask(customer, round_id)


@task(concurrency=AT_ONCE, rate=STARTS, timeout=30, max_attempts=5)
def ask_in_order(customer: int, round_id: int) -> None:
    """Ask the supplier; who came first is served first."""
    stock.ask(customer, round_id)


@schedule(every=2, name="interval", catch_up="skip")
@schedule("*/10 * * * * *", name="cron", catch_up="skip")
@task(title="Tick", timeout=30, visibility="public")
def tick() -> dict[str, Any]:
    """Say how late the job of a tick has started; everybody may see it, as it has no owner."""
    return ticks.punctuality(current_job().scheduled_for)
