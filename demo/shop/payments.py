"""A payment at a bank that is not always at work."""

from typing import Any

from shop import api_client
from shop.models import Payment


class BankClosed(Exception):
    """The bank refuses payments at the moment."""


def pay(payment_id: int) -> dict[str, Any]:
    """Ask the bank to book a payment.

    Raises:
        BankClosed: if it was not booked.
    """
    payment = Payment.objects.get(pk=payment_id)
    answer = api_client.request("POST", f"/payments/{payment.pk}")
    if answer.status != 200:
        raise BankClosed(f"The bank answered {answer.status}.")
    return {
        "payment": payment.pk,
        "cents": payment.cents,
        "receipt": answer.body["receipt"],
        "asked": answer.body["asked"],
    }


def pay_once(payment_id: int) -> dict[str, Any]:
    """Do what `pay` does; return an error if the bank is closed."""
    try:
        return pay(payment_id)
    except BankClosed as error:
        return {"payment": payment_id, "error": str(error)}
