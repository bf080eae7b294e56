"""Each piece of slow work twice: before the response, and in the background."""

from uuid import UUID

from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.tasks import default_task_backend
from django.tasks.exceptions import TaskResultDoesNotExist
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from shop import documents, imaging, mails, orders, tasks
from shop.forms import PhotoForm
from shop.models import Newsletter, OrderImport, Photo


def page(request: HttpRequest) -> HttpResponse:
    """Show the three pieces of work."""
    return render(request, "shop/page.html")


@require_POST
def preview_blocking(request: HttpRequest) -> JsonResponse:
    """Make the pictures while the visitor waits."""
    photo = receive_photo(request)
    return JsonResponse(documents.of_finished(imaging.make_previews(photo.pk)))


@require_POST
def preview_background(request: HttpRequest) -> JsonResponse:
    """Have the pictures made."""
    photo = receive_photo(request)
    job = tasks.make_previews.enqueue(photo.pk)
    return accepted(reverse("job", args=[job.id]))


@require_POST
def import_blocking(request: HttpRequest) -> JsonResponse:
    """Import the orders while the visitor waits."""
    order_import = open_import()
    return JsonResponse(documents.of_finished(orders.import_orders(order_import.pk)))


@require_POST
def import_background(request: HttpRequest) -> JsonResponse:
    """Have the orders imported."""
    order_import = open_import()
    job = tasks.import_orders.enqueue(order_import.pk)
    return accepted(reverse("job", args=[job.id]))


@require_POST
def newsletter_blocking(request: HttpRequest) -> JsonResponse:
    """Send the letters while the visitor waits."""
    newsletter = Newsletter.objects.create()
    for address in mails.addresses():
        mails.send_letter(newsletter.pk, address)
    return JsonResponse(documents.of_finished(mails.receipt(newsletter.pk)))


@require_POST
@transaction.atomic
def newsletter_background(request: HttpRequest) -> JsonResponse:
    """Have the letters sent, each by a job of its own: either all are accepted or none."""
    newsletter = Newsletter.objects.create()
    jobs = tasks.send_letter.enqueue_many(
        ((newsletter.pk, address), {}) for address in mails.addresses()
    )
    newsletter.jobs = [job.id for job in jobs]
    newsletter.save()
    return accepted(reverse("newsletter", args=[newsletter.pk]))


@never_cache
def job_state(request: HttpRequest, job_id: UUID) -> JsonResponse:
    """Say how far a job is."""
    try:
        job = default_task_backend.get_result(str(job_id))
    except TaskResultDoesNotExist as error:
        raise Http404 from error
    return JsonResponse(documents.of_job(job))


@never_cache
def newsletter_state(request: HttpRequest, newsletter_id: int) -> JsonResponse:
    """Say how many of a newsletter's letters are sent."""
    newsletter = get_object_or_404(Newsletter, pk=newsletter_id)
    return JsonResponse(documents.of_newsletter(newsletter))


def receive_photo(request: HttpRequest) -> Photo:
    """Store the uploaded picture."""
    form = PhotoForm(request.POST, request.FILES)
    if not form.is_valid():
        raise BadRequest(" ".join(str(error) for error in form.errors["image"]))
    return form.save()


def open_import() -> OrderImport:
    """Prepare the import of the file of orders."""
    return OrderImport.objects.create(path=str(settings.SAMPLES / "orders.csv"))


def accepted(location: str) -> JsonResponse:
    """Answer at once: the work is accepted, and its state is found at `location`."""
    return JsonResponse({}, status=202, headers={"Location": location})


def refuse(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Say why a request was bad."""
    return JsonResponse({"error": str(exception)}, status=400)
