"""A row that somebody damaged does not harm the other jobs of the page."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import AsyncClient

from offload.models import Job
from offload.testing import run_jobs
from tests.live.clients import start_job, user_client
from tests.live.tasks import shown

pytestmark = pytest.mark.django_db

AT = "2026-11-20T09:31:07.412Z"
HUGE = "9" * 4000
RETURN_VALUES = ["{", "9" * 5000, "NaN", "[1e999]", '{"a": -Infinity}', "[" * 9000]
PROGRESS = [
    f'{{"done": 1, "total": 2, "updated_at": "{moment}"}}'
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026")
] + [
    f'{{"done": {HUGE}, "total": {HUGE}, "step": {{"number": {HUGE}}}, "updated_at": "{AT}"}}',
    f'{{"done": 1e999, "total": NaN, "step": {{"number": "x", "of": []}}, "updated_at": "{AT}"}}',
    f'{{"done": [], "total": {{}}, "message": {{"a": 1}}, "updated_at": "{AT}"}}',
    "[" * 9000,
]
TIMES = ["-99999999999999999", "9223372036854775807", "253402300799999999"]
DAMAGE = (
    [("return_value", value) for value in RETURN_VALUES]
    + [("progress", value) for value in PROGRESS]
    + [("started_at", value) for value in TIMES]
    + [("finished_at", value) for value in TIMES]
)


def damage(identifier: str, column: str, value: str) -> None:
    with connection.cursor() as cursor:
        job = Job._meta.pk.get_db_prep_value(identifier, connection)
        cursor.execute(f"UPDATE offload_job SET {column} = %s WHERE id = %s", [value, job])


def strictly(text: str) -> Any:
    """Return JSON as a browser reads it: without NaN and the infinities."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(("column", "value"), DAMAGE)
def test_a_damaged_column_fails_no_response(column, value):
    client = user_client()
    damaged, other = start_job(client, "shown", "1"), start_job(client, "shown", "2")
    run_jobs()
    damage(damaged, column, value)

    document = strictly(client.get(f"/tasks/{damaged}/").text)
    items = strictly(client.get("/tasks/", query_params={"ids": f"{damaged},{other}"}).text)
    fragment = client.get(f"/tasks/{damaged}/", headers={"HX-Request": "true"})
    page = client.get(f"/tasks/{damaged}/page/")

    assert (fragment.status_code, page.status_code) == (200, 200)
    assert items["items"][0] == document
    assert items["items"][1]["result"] == "2"
    if column == "return_value":
        assert document["result"] is None
        assert client.get(f"/tasks/{damaged}/result/").status_code == 500
    assert client.get(f"/tasks/{other}/result/").json() == "2"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("watched")
def test_a_damaged_job_does_not_end_the_stream_of_the_others():
    client: Any = user_client()
    ids = [start_job(client, "shown", str(number)) for number in range(len(DAMAGE) + 1)]
    run_jobs()
    for identifier, (column, value) in zip(ids, DAMAGE, strict=False):
        damage(identifier, column, value)
    content = read_stream(client.user, ids)
    snapshot = strictly(content.partition("data: ")[2].partition("\n")[0])

    assert [item["id"] for item in snapshot["items"]] == ids
    assert snapshot["items"][-1]["result"] == str(len(DAMAGE))
    assert '{"reason":"finished"}' in content


def read_stream(user: User, ids: list[str]) -> str:
    async def scenario() -> str:
        client = AsyncClient(headers={"Accept": "text/event-stream"})
        await client.aforce_login(user)
        response = await client.get(f"/tasks/events/?ids={','.join(ids)}")
        content = b"".join([part async for part in response.streaming_content])
        response.close()
        await sync_to_async(connections.close_all)()
        return content.decode()

    return asyncio.run(scenario())


@pytest.mark.parametrize("value", PROGRESS)
def test_damaged_progress_can_be_used_in_python(value):
    result = shown.enqueue(1)
    damage(result.id, "progress", value)
    progress = shown.get_result(result.id).progress

    assert progress is None or progress.percent in {None, 50.0, 100.0}


@pytest.mark.parametrize(
    "text", ["a\u202eb\u2066c\u2069", "a\u202a\u202db\u2067\u2068c\u202c\u202b"]
)
def test_texts_have_no_bidirectional_controls(text):
    client = user_client()
    identifier = start_job(client, "refuse", text)
    run_jobs()
    progress = {"message": text, "step": {"number": 1, "name": text}, "updated_at": AT}
    damage(identifier, "progress", json.dumps(progress))
    document = client.get(f"/tasks/{identifier}/").json()

    assert document["progress"]["message"] == document["progress"]["step"]["name"] == "abc"
    assert document["error"]["title"] == "abc"


def test_a_title_is_one_line_without_controls():
    client = user_client()
    identifier = start_job(client, "shown")
    damage(identifier, "task_path", "shop.a\u202eb\x1b]0;x\x07\nc")

    assert client.get(f"/tasks/{identifier}/").json()["title"] == "Ab ]0;x c"
