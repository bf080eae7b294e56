"""The page of a job, and the escaping of hostile text."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from offload.models import Job
from offload.testing import run_jobs
from offload.text import to_single_line
from offload.uuid7 import new_id
from tests.jobs import claim, register_worker
from tests.live.clients import BROWSER, start_job, user_client

pytestmark = pytest.mark.django_db


NOW = "2026-11-20T09:31:07Z"
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\r\nSet-Cookie: a=b\x00\x1b'


STATIC_PARTS = re.compile(
    r"""<template.*?</template>
    |<script\ type="module"\ src="/static/offload/[\w-]+\.js"></script>
    |<script\ id="offload-texts"\ type="application/json">[^<]*</script>""",
    re.DOTALL | re.VERBOSE,
)
"""The template, the scripts and the labels of the element."""


def page_of(client: Client, identifier: Any) -> Any:
    return client.get(f"/tasks/{identifier}/page/", headers=BROWSER)


def text_of(response: Any) -> str:
    """Return a page without the parts that are the same on each."""
    return STATIC_PARTS.sub("", response.text)


def test_the_page_refreshes_without_javascript():
    client = user_client()
    identifier = start_job(client, "shown")
    waiting = text_of(page_of(client, identifier))
    run_jobs()
    finished = text_of(page_of(client, identifier))

    assert '<noscript><meta http-equiv="refresh" content="1"></noscript>' in waiting
    assert "refresh" not in finished
    assert "<progress" in waiting
    assert "<progress" not in finished
    assert f'href="/tasks/{identifier}/result/"' in finished


def test_the_page_of_an_unknown_job():
    response = page_of(user_client(), new_id())

    assert response.status_code == 404
    assert "This task does not exist, or you are not allowed to see it." in response.text


def test_hostile_text_is_inert_on_the_page():
    client = user_client()
    identifier = start_job(client, "refuse", to_single_line(HOSTILE, max_chars=500))
    Job.objects.update(
        progress=json.dumps(
            {"message": HOSTILE, "step": {"number": 1, "name": HOSTILE}, "updated_at": NOW}
        )
    )
    waiting = page_of(client, identifier)
    Job.objects.update(progress=None)
    run_jobs()
    failed = page_of(client, identifier)

    for response in (waiting, failed):
        assert response.status_code == 200
        assert "<script" not in text_of(response)
        assert "<img" not in response.text
        assert "&lt;script&gt;" in response.text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", response.text)
        assert "Set-Cookie: a" not in str(response.headers)


def test_hostile_text_is_inert_in_json():
    client = user_client()
    identifier = start_job(client)
    Job.objects.update(progress=json.dumps({"message": HOSTILE, "updated_at": NOW}))

    response = client.get(f"/tasks/{identifier}/")

    assert "\r" not in response.text
    assert "\\u0000" not in response.text
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("task", ["shown", "explode"])
def test_the_page_complies_with_a_strict_content_security_policy(task):
    client = user_client()
    identifier = start_job(client, task, "x")
    for _ in range(2):
        text = text_of(page_of(client, identifier))
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|https?://", text)
        run_jobs()


def test_the_page_shows_the_label_of_the_phase():
    client = user_client()
    identifier = start_job(client, "private", "tr0ub4dor")
    assert "Waiting" in text_of(page_of(client, identifier))
    claim(register_worker())
    client.post(f"/tasks/{identifier}/cancel/")

    text = text_of(page_of(client, identifier))

    assert "Cancelling" in text
    assert "tr0ub4dor" not in text


def test_numbers_in_attributes_are_not_localized(settings):
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    client = user_client()
    identifier = start_job(client)
    Job.objects.update(progress=json.dumps({"done": 1, "total": 3, "updated_at": NOW}))

    assert 'max="100" value="33.3"' in page_of(client, identifier).text


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://testserver/shop/?page=2", "http://testserver/shop/?page=2"),
        ("http://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("http://testserver/tasks/{id}/page/", "/"),
        ("", "/"),
    ],
)
def test_the_page_leads_back_to_where_the_visitor_came_from(referer, back):
    client = user_client()
    identifier = start_job(client)
    headers = {**BROWSER, "Referer": referer.format(id=identifier)}

    for page in (identifier, new_id()):
        text = client.get(f"/tasks/{page}/page/", headers=headers).text
        if page == identifier or "page/" not in referer:
            assert f'<p><a href="{back}">Back</a></p>' in text
