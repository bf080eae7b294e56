"""The example as visitors meet it: nginx, a web server, workers and PostgreSQL."""

from __future__ import annotations

import http.client
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from tests.deploy.example import PAGE, commands, services
from tests.deploy.nginx import Nginx
from tests.deploy.project import Project, Visitor
from tests.waiting import TIMEOUT_SECONDS, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def workers(project: Project) -> Iterator[None]:
    """The workers of the Compose file."""
    workers = [project.start(commands()[name]) for name in ("worker", "worker-reports")]
    yield
    for worker in workers:
        project.stop(worker)


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn mysite.asgi", "gunicorn mysite.wsgi"])
def site(
    request: pytest.FixtureRequest, project: Project, workers: None, nginx: Nginx
) -> Iterator[Nginx]:
    """nginx in front of a web server that permits each address of visitors one stream."""
    on_page = re.findall(r"`(gunicorn mysite[^`]+)`", PAGE)
    (command,) = (
        command for command in (commands()["web"], *on_page) if command.startswith(request.param)
    )
    server = project.serve(command, DJANGO_SETTINGS_MODULE="mysite.few_streams")
    yield nginx
    project.stop(server)


with_streams = pytest.mark.parametrize("site", ["uvicorn", "gunicorn mysite.asgi"], indirect=True)


@pytest.fixture
def visitor(site: Nginx) -> Visitor:
    return Visitor(site.url)


def test_each_queue_has_a_worker(project, site, visitor):
    jobs = [visitor.start(path) for path in ("add?with=1&with=2", "report")]

    documents = map(visitor.finish, jobs)
    titles = [(document["title"], document["state"]) for document in documents]
    assert titles == [("Add", "successful"), ("Report", "successful")], project.log


def test_the_health_check_finds_a_worker(project, workers):
    _, *command = services()["worker"]["healthcheck"]["test"]

    def is_healthy() -> bool:
        return project.start(" ".join(command)).wait(TIMEOUT_SECONDS) == 0

    wait_until(is_healthy, "the workers have registered")


def test_nginx_serves_the_static_files(nginx):
    with urllib.request.urlopen(f"{nginx.url}/static/offload/task-status.js") as response:
        assert response.headers["Server"].startswith("nginx")
        assert b"task-status" in response.read()


@with_streams
def test_streams_are_not_buffered_and_outlive_a_reload(site, visitor, fifo):
    job = visitor.start(f"hold?with={fifo}")

    with visitor.open(f"/tasks/events/?ids={job}") as stream:
        assert any(b'"running"' in line for line in stream)
        site.reload()
        fifo.write_text("go on")
        assert any(b'"successful"' in line for line in stream)


@with_streams
def test_pages_of_the_site_may_open_a_websocket(site, visitor):
    job = visitor.start("add?with=1&with=2")

    with connect(
        f"ws://{site.url.removeprefix('http://')}/tasks/ws/",
        origin=site.url,
        additional_headers={"Cookie": visitor.cookies},
        proxy=None,
    ) as socket:
        socket.send(json.dumps({"subscribe": [job]}))
        while '"successful"' not in str(socket.recv(TIMEOUT_SECONDS)):
            pass


@with_streams
def test_visitors_are_counted_by_an_address_that_they_cannot_choose(site, visitor, fifo):
    if sys.platform != "linux":
        pytest.skip("only Linux answers at 127.0.0.2")
    job = visitor.start(f"hold?with={fifo}")
    forged = {"X-Real-IP": "192.0.2.7", "X-Forwarded-For": "192.0.2.7", "X-Real_IP": "192.0.2.7"}

    with ExitStack() as streams:

        def status_of_stream(address: str, **headers: str) -> int:
            connection = http.client.HTTPConnection(
                "127.0.0.1", site.port, source_address=(address, 0), timeout=TIMEOUT_SECONDS
            )
            streams.callback(connection.close)
            headers["Cookie"] = visitor.cookies
            connection.request("GET", f"/tasks/events/?ids={job}", headers=headers)
            response = streams.enter_context(connection.getresponse())
            return response.status

        wait_until(lambda: status_of_stream("127.0.0.1") == 200, "no other test has a stream")
        assert status_of_stream("127.0.0.1", **forged) == 429
        assert status_of_stream("127.0.0.2") == 200
    fifo.write_text("go on")
    assert visitor.finish(job)["state"] == "successful"


def test_uploads_may_have_20_megabytes(site):
    with urllib.request.urlopen(_upload(site, 19), timeout=TIMEOUT_SECONDS) as response:
        assert int(response.read()) == 19 * MEGABYTE
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(_upload(site, 21), timeout=TIMEOUT_SECONDS)
    refused.value.close()
    assert refused.value.code == 413


def _upload(site: Nginx, megabytes: int) -> urllib.request.Request:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    return urllib.request.Request(
        f"{site.url}/upload",
        head + bytes(megabytes * MEGABYTE) + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
