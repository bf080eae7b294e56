"""The element as the server renders it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.template import Context, Template, TemplateSyntaxError
from django.test import AsyncRequestFactory, RequestFactory
from django.utils import translation

import offload
from offload.live.labels import translated_labels
from offload.live.widget import channel_name, format_duration, widget_context
from offload.models import Job
from offload.testing import run_jobs
from tests.live.clients import start_job, user_client
from tests.live.tasks import explode, refuse, shown

pytestmark = pytest.mark.django_db

STATIC = Path(offload.__file__).parent / "static" / "offload"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def request_of(user: Any, factory: Any = None) -> HttpRequest:
    request: HttpRequest = (factory or RequestFactory()).get("/")
    request.user = user
    return request


def render(tag: str, request: HttpRequest, **context: Any) -> str:
    return Template(f"{{% load offload %}}{{% {tag} %}}").render(
        Context({"request": request, **context})
    )


def enqueue_as(user: User, task: Any = shown, *arguments: Any) -> Any:
    with offload.acting_for(user):
        return task.enqueue(*arguments)


def set_progress(result: Any, **values: Any) -> None:
    progress = {**values, "updated_at": "2026-11-26T09:31:07.412Z"}
    Job.objects.filter(pk=result.id).update(progress=json.dumps(progress))


def test_a_ready_job(ada):
    result = enqueue_as(ada)
    html = render("task_status result", request_of(ada), result=result)

    assert f'href="/tasks/{result.id}/"' in html
    assert 'data-phase="queued"' in html
    assert 'version="0"' in html
    assert "Monthly &lt;b&gt;report&lt;/b&gt;" in html
    assert ">Waiting<" in html
    assert f'action="/tasks/{result.id}/cancel/"' in html
    assert "data-finished" not in html
    assert "style=" not in html


def test_the_progress_of_a_job(ada):
    result = enqueue_as(ada)
    step = {"number": 2, "of": 3, "name": "Import"}
    set_progress(result, done=1234.5, total=10000, message="<Rows>", step=step)
    with translation.override("de"):
        html = render("task_status result", request_of(ada), result=result)

    assert 'value="12.3"' in html, "numbers in attributes are not localized"
    assert ">12\u00a0%<" in html
    assert "2/3 Import · &lt;Rows&gt;" in html


@pytest.mark.parametrize(
    ("task", "text"), [(explode, "The task failed."), (refuse, "The file is empty.")]
)
@pytest.mark.django_db(transaction=True)
def test_a_failed_job_shows_its_error(ada, task, text):
    result = enqueue_as(ada, task, "The file is empty.")
    run_jobs()
    html = render("task_status result", request_of(ada), result=result)

    assert "data-finished" in html
    assert f"{text} · Reference: {result.id}" in html


@pytest.mark.django_db(transaction=True)
def test_a_result_is_linked(ada):
    result = enqueue_as(ada, shown, 5)
    run_jobs()
    html = render("task_status result", request_of(ada), result=result)

    assert f'href="/tasks/{result.id}/result/"' in html
    assert re.search(r"<time [^>]*datetime=\"[^\"]+Z\">[^<]+</time>", html)


def test_a_foreign_job_is_shown_like_an_unknown_one(ada):
    result = enqueue_as(User.objects.create_user("grace"))
    html = render("task_status result", request_of(ada), result=result)

    assert html == render("task_status result", request_of(ada), result=uuid4())
    assert "Not available" in html
    assert result.id not in html


def test_the_tag_accepts_an_id(ada):
    result = enqueue_as(ada)
    request = request_of(ada)

    assert render("task_status id", request, id=result.id) == render(
        "task_status result", request, result=result
    )


def test_attributes_are_rendered_and_escaped(ada):
    tag = 'task_status result announce="off" stop_after=60 notify=True token=None redirect=evil'
    html = render(tag, request_of(ada), result=enqueue_as(ada), evil='"><script>')

    assert 'announce="off"' in html
    assert 'stop-after="60"' in html
    assert re.search(r"\snotify[\s>]", html)
    assert "token" not in html
    assert "<script" not in html


@pytest.mark.parametrize(
    ("factory", "transport"), [(RequestFactory(), ' transport="poll"'), (AsyncRequestFactory(), "")]
)
def test_the_element_polls_under_wsgi(ada, factory, transport):
    html = render("task_status result", request_of(ada, factory), result=enqueue_as(ada))

    assert (' transport="poll"' in html) is bool(transport)


def test_htmx_polls_until_the_job_has_finished(ada):
    result = enqueue_as(ada)
    waiting = render("task_status result htmx=True", request_of(ada), result=result)
    Job.objects.filter(pk=result.id).update(state=6, finished_at=Job.objects.get().enqueued_at)
    done = render("task_status result htmx=True", request_of(ada), result=result)

    assert 'hx-trigger="every 500ms"' in waiting
    assert "hx-" not in done


def test_htmx_gets_the_element_as_a_fragment(client):
    ada = user_client()
    job = start_job(ada)
    fragment = ada.get(f"/tasks/{job}/", headers={"HX-Request": "true"})

    assert fragment.text.startswith("<task-status ")
    assert f'hx-get="/tasks/{job}/"' in fragment.text


def test_a_channel_belongs_to_one_user(ada):
    grace = User.objects.create_user("grace")
    channels = [channel_name(request_of(user)) for user in (ada, ada, grace, AnonymousUser())]

    assert channels[0] == channels[1] != channels[2]
    assert channels[3] is None
    assert str(ada.pk) != channels[0]


def test_the_media_of_a_page(ada):
    with translation.override("fr"):
        html = render("task_status_media", request_of(ada))
    texts = json.loads(re.search(r'id="offload-texts"[^>]*>(.*?)</script>', html)[1])  # type: ignore[index]

    for name in ("task-status.js", "task-page.js", "task-status.css"):
        assert f"offload/{name}" in html
    assert texts["running"] == "En cours"
    assert "csrfmiddlewaretoken" not in html, "a page without forms stays cacheable"


@pytest.mark.parametrize(
    ("tag", "factory", "has_socket"),
    [
        ('task_status_media transport="websocket"', AsyncRequestFactory(), True),
        ('task_status_media transport="websocket"', RequestFactory(), False),
        ("task_status_media", AsyncRequestFactory(), False),
    ],
)
def test_the_media_of_a_page_with_a_websocket(ada, tag, factory, has_socket):
    html = render(tag, request_of(ada, factory))
    scripts = re.findall(r"task-\w+\.js", html)

    # In this order, since task-status.js uses what task-socket.js defines.
    assert scripts == ["task-socket.js"] * has_socket + ["task-status.js", "task-page.js"]


def test_another_transport_of_the_media_raises(ada):
    with pytest.raises(TemplateSyntaxError, match='can only be "websocket", not "carrier pigeon"'):
        render('task_status_media transport="carrier pigeon"', request_of(ada))


def test_without_a_request_the_tag_raises():
    with pytest.raises(TemplateSyntaxError, match=r"context_processors\.request"):
        Template("{% load offload %}{% task_status_media %}").render(Context())


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.5, "1:01"), (3600, "60:00")])
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text


def test_the_browser_has_a_label_for_all_texts():
    scripts = "".join((STATIC / name).read_text() for name in ("task-status.js", "task-page.js"))
    used = set(re.findall(r'text\("([\w-]+)"', scripts)) | {"missing", "gone", "signed-out"}

    assert used <= set(translated_labels())


def test_the_script_is_small():
    module = (STATIC / "task-status.js").read_bytes()

    assert len(gzip.compress(module, 9)) <= 5 * 1024


def test_the_script_for_websockets_is_small():
    module = (STATIC / "task-socket.js").read_bytes()

    assert len(gzip.compress(module, 9)) <= 1.5 * 1024


def test_no_script_writes_html():
    for script in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|eval\(|\.style", script.read_text()
        )


def test_an_unavailable_job_has_a_label(ada):
    document = {"phase": "gone", "is_finished": True, "version": None, "title": "", "links": {}}

    assert widget_context(request_of(ada), document)["phase_label"] == "No longer available"
