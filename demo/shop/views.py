"""The views: each piece of slow work once blocking and once in the background."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.tasks import TaskResult
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

import offload
from shop import imaging, mails, orders, parcels, payments, tasks, visits
from shop.cards import cards, keep_job, keep_result
from shop.forms import receive_photo
from shop.models import Enquiry, Newsletter, OrderImport, Payment


@never_cache
def lab(request: HttpRequest) -> HttpResponse:
    """Show the experiments. This creates the session that will own the visitor's jobs."""
    return render(request, "shop/lab.html", {"cards": cards(request)})


@require_POST
def photos_blocking(request: HttpRequest) -> HttpResponse:
    photo = receive_photo(request)
    return answered(request, "photos", imaging.make_previews(photo.pk))


@require_POST
@offload.idempotent
def photos_background(request: HttpRequest) -> HttpResponse:
    photo = receive_photo(request)
    return accepted(request, "photos", tasks.make_previews.enqueue(photo.pk))


@require_POST
def orders_blocking(request: HttpRequest) -> HttpResponse:
    order_import = open_import()
    return answered(request, "orders", orders.import_orders(order_import.pk))


@require_POST
@offload.idempotent
def orders_background(request: HttpRequest) -> HttpResponse:
    order_import = open_import()
    return accepted(request, "orders", tasks.import_orders.enqueue(order_import.pk))


@require_POST
def mails_blocking(request: HttpRequest) -> HttpResponse:
    newsletter = Newsletter.objects.create()
    return answered(request, "mails", mails.send_all(newsletter.pk))


@require_POST
@offload.idempotent
@transaction.atomic
def mails_background(request: HttpRequest) -> HttpResponse:
    """Enqueue one job per email, all or none."""
    newsletter = Newsletter.objects.create()
    watch = tasks.watch_newsletter.enqueue(newsletter.pk)
    letters = tasks.send_letter.enqueue_many(
        ((newsletter.pk, address), {}) for address in mails.addresses()
    )
    newsletter.jobs = [letter.id for letter in letters]
    newsletter.save()
    return accepted(request, "mails", watch)


@require_POST
def visits_blocking(request: HttpRequest) -> HttpResponse:
    return answered(request, "visits", visits.add_up())


@require_POST
@offload.idempotent
def visits_background(request: HttpRequest) -> HttpResponse:
    return accepted(request, "visits", tasks.add_up_visits.enqueue())


@require_POST
def parcels_blocking(request: HttpRequest) -> HttpResponse:
    enquiry = Enquiry.objects.create()
    return answered(request, "parcels", parcels.locate_patiently(enquiry.pk))


@require_POST
@offload.idempotent
def parcels_background(request: HttpRequest) -> HttpResponse:
    enquiry = Enquiry.objects.create()
    return accepted(request, "parcels", tasks.locate_parcels.enqueue(enquiry.pk))


@require_POST
def payment_blocking(request: HttpRequest) -> HttpResponse:
    payment = Payment.objects.create()
    return answered(request, "payment", payments.pay_once(payment.pk))


@require_POST
@offload.idempotent
def payment_background(request: HttpRequest) -> HttpResponse:
    payment = Payment.objects.create()
    return accepted(request, "payment", tasks.pay.enqueue(payment.pk))


def open_import() -> OrderImport:
    """Prepare the import of the file of orders."""
    return OrderImport.objects.create(path=str(settings.SAMPLES / "orders.csv"))


def answered(request: HttpRequest, name: str, value: dict[str, Any]) -> HttpResponse:
    """Redirect to the lab with the result, so that a reload does not repeat the work."""
    keep_result(request, name, value)
    return redirect(f"{reverse('lab')}#{name}")


def accepted(request: HttpRequest, name: str, job: TaskResult) -> HttpResponse:
    """Respond at once with the state of the accepted job."""
    keep_job(request, name, job)
    return offload.accepted(request, job)


def refuse(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the reason for a bad request."""
    if request.accepts("text/html"):
        return HttpResponseBadRequest(str(exception), content_type="text/plain; charset=utf-8")
    return JsonResponse({"title": "Refused", "detail": str(exception)}, status=400)
