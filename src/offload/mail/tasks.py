"""The task that sends one stored message. Its path is stored with each job."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from offload.exceptions import JobTimeout
from offload.mail.backend import find_mailers
from offload.mail.delivery import TemporaryFailure, deliver, format_reply, is_temporary_code
from offload.mail.message import StoredMessage
from offload.policies import Exponential
from offload.ready_made import ready_made_task

logger = logging.getLogger("offload.mail")

MAX_ATTEMPTS = 10
BACKOFF = Exponential(30, maximum=3600)
TIMEOUT_SECONDS = 1800


@ready_made_task(
    max_attempts=MAX_ATTEMPTS,
    backoff=BACKOFF,
    retry_on=(TemporaryFailure,),
    no_retry_on=(JobTimeout,),  # the attempt may have sent the message
    timeout=TIMEOUT_SECONDS,
    title="Email",
)
def send_message(
    message: dict[str, Any], mailer: str | None = None, recipients: list[str] | None = None
) -> dict[str, Any]:
    """Send one stored message.

    If the server accepts only some recipients, those refused temporarily get a new job.

    Args:
        message: the message as `serialize_message` returns it.
        mailer: alias in MAILERS of the mailer that enqueued the message; None without MAILERS.
        recipients: the addresses to send to; all recipients of the message if None.

    Returns:
        The number of messages `sent`, and the server's reply for each recipient `refused`.
    """
    queueing_mailer, sending_mailer = find_mailers(mailer)
    stored_message = StoredMessage(message, recipients)
    delivery = deliver(sending_mailer, stored_message, queueing_mailer.is_temporary)
    retry_later = [
        recipient for recipient, (code, _) in delivery.refused.items() if is_temporary_code(code)
    ]
    if retry_later:
        call = ([message], {"mailer": mailer, "recipients": retry_later})
        delay = timedelta(seconds=BACKOFF.delay(1))
        queueing_mailer.enqueue([call], run_after=delay)
    refused = {recipient: format_reply(reply) for recipient, reply in delivery.refused.items()}
    if refused:
        logger.warning("Email sent, but the server refused these recipients: %s", refused)
    return {"sent": delivery.sent, "refused": refused}
