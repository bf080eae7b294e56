"""The examples of docs/howto/workflows.md do what the page says."""

from __future__ import annotations

import pytest

from offload import JobState
from offload.testing import run_jobs
from tests import how_to
from tests.how_to import Load
from tests.live.clients import user_client

PAGE = how_to.page("workflows")

pytestmark = pytest.mark.django_db


def test_an_upload_is_imported_in_chunks_and_merged(load: Load) -> None:
    result = load("imports").start_import("orders.csv", 12_500)
    assert result.parts == {JobState.LIMITED: 13, JobState.BLOCKED: 1}
    run_jobs()
    result.refresh()
    assert result.return_value == 12_500
    assert result.args == ["Import of orders.csv"]


def test_the_view_responds_with_the_workflow(load: Load, rf) -> None:
    request = rf.post("/", {"name": "orders.csv"}, headers={"Accept": "application/json"})
    client = user_client("ada")
    request.user = client.get("/").wsgi_request.user  # type: ignore[attr-defined]
    request.session = client.session
    response = load("views").upload(request)
    assert response.status_code == 202
    assert b"0 of 13 parts done" in response.content


def test_large_results_are_read_one_by_one(load: Load) -> None:
    result = load("totals").start([1, 2, 3])
    run_jobs()
    result.refresh()
    assert result.return_value == 9


def test_a_report_is_built_in_three_steps(load: Load) -> None:
    result = load("reports").start_report("2026-11", "ada@example.com")
    assert result.progress.total == 3
    assert result.args == ["Monthly report"]
    run_jobs()
    result.refresh()
    assert result.return_value == "table of 2 rows sent to ada@example.com"


def test_an_album_is_made_of_chains_in_a_group(load: Load) -> None:
    result = load("albums").start_album([1, 2], "Summer")
    run_jobs()
    result.refresh()
    assert result.return_value == {"title": "Summer", "pages": ["1-800-sharp", "2-800-sharp"]}


def states(result) -> dict[str, str]:
    result.refresh()
    return {part.task.name: str(part.state) for part in result.nodes()}


def test_an_order_is_shipped_after_the_payment(load: Load) -> None:
    result = load("orders").start_order(7)
    run_jobs()
    assert states(result) == {
        "reserve_stock": "successful",
        "charge": "successful",
        "ship": "successful",
        "cancel_order": "skipped",
        "tell_customer": "successful",
    }
    assert result.state == JobState.SUCCESSFUL


def test_an_order_is_cancelled_after_a_failed_payment_and_can_be_tried_again(load: Load) -> None:
    result = load("orders").start_order(-7)
    run_jobs(include_scheduled=True)
    assert states(result) == {
        "reserve_stock": "successful",
        "charge": "failed",
        "ship": "cancelled",
        "cancel_order": "successful",
        "tell_customer": "successful",
    }
    assert result.state == JobState.FAILED
    load("support").try_again(result)
    assert states(result)["charge"] == "ready"
    assert states(result)["tell_customer"] == "successful"


def test_a_running_job_adds_nodes(load: Load) -> None:
    result = load("feeds").start_feed("example.com")
    run_jobs()
    result.refresh()
    assert result.return_value == 3 * len("example.com?page=1")
    assert result.parts == {JobState.SUCCESSFUL: 5}


def test_a_job_is_made_of_each_item_that_a_job_returns(load: Load) -> None:
    result = load("catalogs").start_update("acme")
    run_jobs()
    result.refresh()
    assert result.return_value == 18
