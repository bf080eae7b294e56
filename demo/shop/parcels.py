"""Where 24 parcels are: the courier is asked for each, and does not like to be asked often."""

import time
from typing import Any

from offload import progress
from shop import outside
from shop.models import Enquiry

NUMBERS = range(1, 25)


class TooOften(Exception):
    """The courier wants to be left alone for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Ask again in {seconds:.0f} s")
        self.seconds = seconds


def locate(enquiry_id: int) -> dict[str, Any]:
    """Ask where each parcel is of which that is not known yet; return what is known of all.

    Raises:
        TooOften: before the courier was asked for all. What it said is kept.
    """
    enquiry = Enquiry.objects.get(pk=enquiry_id)
    for number in NUMBERS[len(enquiry.places) :]:
        progress(len(enquiry.places), len(NUMBERS), f"Asking for parcel {number}")
        answer = outside.ask("GET", f"/parcels/{number}")
        if answer.status == 429:
            enquiry.refusals += 1
            enquiry.save()
            raise TooOften(answer.retry_after)
        enquiry.places.append(answer.body["place"])
        enquiry.save()
    progress(len(NUMBERS), len(NUMBERS))
    return {"places": enquiry.places, "refusals": enquiry.refusals}


def locate_patiently(enquiry_id: int) -> dict[str, Any]:
    """Do what `locate` does, and wait as often as the courier wants."""
    while True:
        try:
            return locate(enquiry_id)
        except TooOften as refusal:
            time.sleep(refusal.seconds)  # noqa: TID251  # so it is when the page waits
