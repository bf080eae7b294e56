"""The places of 24 parcels, from an API that limits requests."""

import time
from typing import Any

from offload import progress
from shop import api_client
from shop.models import Enquiry

NUMBERS = range(1, 25)


class TooManyRequests(Exception):
    """The courier refuses requests for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Retry in {seconds:.0f} s")
        self.seconds = seconds


def locate(enquiry_id: int) -> dict[str, Any]:
    """Request the place of each parcel whose place is unknown; return all places.

    Raises:
        TooManyRequests: if the courier refuses a request. Places received so far are stored.
    """
    enquiry = Enquiry.objects.get(pk=enquiry_id)
    for number in NUMBERS[len(enquiry.places) :]:
        progress(len(enquiry.places), len(NUMBERS), f"Requesting parcel {number}")
        answer = api_client.request("GET", f"/parcels/{number}")
        if answer.status == 429:
            enquiry.refusals += 1
            enquiry.save()
            raise TooManyRequests(answer.retry_after)
        enquiry.places.append(answer.body["place"])
        enquiry.save()
    progress(len(NUMBERS), len(NUMBERS))
    return {"places": enquiry.places, "refusals": enquiry.refusals}


def locate_patiently(enquiry_id: int) -> dict[str, Any]:
    """Do what `locate` does, and sleep whenever the courier refuses."""
    while True:
        try:
            return locate(enquiry_id)
        except TooManyRequests as refusal:
            time.sleep(refusal.seconds)  # noqa: TID251  # the blocking view has to wait
