"""Views as projects with Celery have them: they start a task, and poll its state."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import RequestContext, Template
from django.views.decorators.http import require_POST

import offload
from offload.celery.exceptions import TimeoutError
from offload.celery.result import AsyncResult
from tests.celery import tasks

logger = logging.getLogger(__name__)


def start(request: HttpRequest) -> JsonResponse:
    task = tasks.add.delay(2, 3)
    return JsonResponse({"task_id": task.id, "status": "started"})


def status(request: HttpRequest, task_id: str) -> JsonResponse:
    result = AsyncResult(task_id)
    response: dict[str, Any] = {"task_id": task_id, "status": result.status}
    if result.status == "PROGRESS":
        response.update(result.info)
    elif result.successful():
        response["result"] = result.result
    elif result.failed():
        response["error"] = str(result.result)
    return JsonResponse(response)


@require_POST
def sign_up(request: HttpRequest) -> HttpResponse:
    tasks.send_welcome_mail.delay(request.POST["email"])
    return HttpResponse("Thank you!")


@require_POST
def send_newsletter(request: HttpRequest) -> JsonResponse:
    addresses = json.loads(request.body)["addresses"]
    task = tasks.send_newsletter.delay(addresses)
    return JsonResponse({"task_id": str(task)}, status=202)


def answer(request: HttpRequest) -> JsonResponse:
    result = tasks.add.delay(2, 3)
    try:
        return JsonResponse({"result": result.get(timeout=0.01)})
    except TimeoutError:
        return JsonResponse({"task_id": result.id, "status": "started"}, status=202)


def failing_answer(request: HttpRequest, task_id: str) -> JsonResponse:
    try:
        return JsonResponse({"result": AsyncResult(task_id).get(timeout=1)})
    except Exception:
        logger.exception("The task %s failed.", task_id)
        return JsonResponse({"error": "Something went wrong."}, status=500)


def accept(request: HttpRequest) -> HttpResponse:
    return offload.accepted(request, tasks.add.delay(2, 3))


def page(request: HttpRequest, task_id: str) -> HttpResponse:
    template = Template("{% load offload %}{% task_status result %}")
    return HttpResponse(template.render(RequestContext(request, {"result": AsyncResult(task_id)})))
