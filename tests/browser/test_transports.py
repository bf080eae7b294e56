"""A page follows a job until it finishes, over each transport."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import TIMEOUT_MS, open_context
from tests.browser.tabs import LIVE_TRANSPORTS, TRANSPORTS
from tests.waiting import happens_within, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, Route, WebSocketRoute

    from tests.browser.site import JobControl, Site

    type OpenPage = Callable[[str], Page]


def record_responses(page: Page) -> list[tuple[str, int]]:
    """Record the page's requests for jobs: the transport, and the status of the response."""
    responses: list[tuple[str, int]] = []

    def record(response: Any) -> None:
        match = re.search(r"/tasks/(events/)?", response.url)
        if match:
            responses.append(("stream" if match[1] else "poll", response.status))

    page.on("response", record)
    page.on("websocket", lambda _: responses.append(("websocket", 101)))
    return responses


def follow_until_finished(page: Page, control: JobControl) -> None:
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    control.progress(34, message="Reading rows")
    expect(status.locator("progress")).to_have_attribute("value", re.compile("34"))
    expect(status).to_contain_text("Monthly report")
    expect(status).to_contain_text("34%")
    expect(status).to_contain_text("Reading rows")
    control.finish("the result")
    expect(status).to_have_attribute("data-phase", "succeeded")
    expect(status.locator("progress")).to_be_hidden()
    status.get_by_role("link").click()
    expect(page.locator("body")).to_have_text('"the result"')


@pytest.fixture
def open_page(sites: dict[str, Site], browser: Browser) -> Iterator[OpenPage]:
    """Return a page in the browser of a new user, at the server of this kind."""
    contexts = []

    def open_page(kind: str) -> Page:
        sites[kind].start()
        contexts.append(open_context(browser, sites[kind]))
        return contexts[-1].new_page()

    yield open_page
    for context in contexts:
        context.close()


# --- each transport alone -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transport", "response"), [("stream", ("stream", 200)), ("websocket", ("websocket", 101))]
)
def test_one_connection_follows_a_job_until_it_finishes(
    context: BrowserContext, page: Page, start: Any, transport: str, response: tuple[str, int]
):
    job, control = start(context)
    responses = record_responses(page)
    page.goto(f"/show/?ids={job}&transport={transport}")
    follow_until_finished(page, control)
    assert responses[:-1] == [response]


def test_one_stream_follows_a_job_under_gunicorn(open_page: OpenPage, start: Any):
    """Its ASGI worker takes a cancelled `receive` for a client that has gone."""
    page = open_page("gunicorn")
    job, control = start(page.context)
    responses = record_responses(page)
    page.goto(f"/show/?ids={job}&transport=stream")
    follow_until_finished(page, control)
    assert responses[:-1] == [("stream", 200)]


@pytest.mark.parametrize("transport", ["", "websocket"])
def test_polling_under_wsgi(open_page: OpenPage, start: Any, transport: str):
    page = open_page("wsgi")
    job, control = start(page.context)
    responses = record_responses(page)
    page.goto(f"/show/?ids={job}&transport={transport}")
    with page.expect_response(lambda response: response.status == 304, timeout=TIMEOUT_MS):
        pass
    follow_until_finished(page, control)
    assert {("poll", 200), ("poll", 304)} >= set(responses)


# --- from one transport to the next ---------------------------------------------------------------


def test_a_stream_where_the_server_serves_no_websockets(open_page: OpenPage, start: Any):
    page = open_page("asgi-without-sockets")
    job, control = start(page.context)
    responses = record_responses(page)
    page.goto(f"/show/?ids={job}&transport=websocket")
    follow_until_finished(page, control)
    assert responses[:-1] == [("websocket", 101), ("stream", 200)]


def test_a_stream_where_a_proxy_passes_no_websocket_messages(
    context: BrowserContext, page: Page, start: Any
):
    job, control = start(context)
    sockets: list[WebSocketRoute] = []

    def record(socket: WebSocketRoute) -> None:
        sockets.append(socket)

    page.route_web_socket("**/tasks/ws/", record)
    responses = record_responses(page)
    page.goto(f"/show/?ids={job}&transport=websocket")
    follow_until_finished(page, control)
    assert len(sockets) == 1
    assert responses[:-1] == [("stream", 200)]


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_polling_where_both_are_refused(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.route_web_socket("**/tasks/ws/", lambda socket: socket.close())
    page.route("**/tasks/events/**", lambda route: route.fulfill(status=501))
    responses = record_responses(page)
    page.goto(f"/show/?ids={job}&transport={transport}")
    follow_until_finished(page, control)
    assert responses[0] == ("stream", 501)
    assert {kind for kind, _ in responses[1:]} == {"poll"}


def test_polling_where_a_policy_allows_no_websocket_and_a_proxy_no_stream(
    context: BrowserContext, page: Page, start: Any
):
    """As in a browser that throws an error where the policy has no `connect-src` for sockets."""
    job, control = start(context)
    page.add_init_script("window.WebSocket = class { constructor() { throw new DOMException(); } }")
    page.route("**/tasks/events/**", lambda route: route.fulfill(status=406))
    responses = record_responses(page)
    page.goto(f"/show/?ids={job}&transport=websocket")
    follow_until_finished(page, control)
    assert responses[0] == ("stream", 406)


def test_polling_where_a_proxy_buffers_streams(context: BrowserContext, page: Page, start: Any):
    job, control = start(context)
    buffered: list[Route] = []

    def buffer(route: Route) -> None:
        buffered.append(route)

    page.route("**/tasks/events/**", buffer)
    page.clock.install()
    page.goto(f"/show/?ids={job}")

    def is_requested(times: int) -> bool:
        page.clock.run_for(100)
        return len(buffered) == times

    for times in (1, 2):
        wait_until(lambda times=times: is_requested(times), "the stream is requested", page=page)
        page.clock.run_for(5_000)
    page.clock.resume()
    follow_until_finished(page, control)
    assert len(buffered) == 2


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_polling_where_streams_break_again_and_again(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    broken: list[str] = []

    def break_socket(socket: WebSocketRoute) -> None:
        broken.append("websocket")
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            socket.send(message)
            socket.close()

        server.on_message(pass_on)

    def break_stream(route: Route) -> None:
        broken.append("stream")
        route.fulfill(content_type="text/event-stream", body="retry: 2000\n\n: ping\n\n")

    page.route_web_socket("**/tasks/ws/", break_socket)
    page.route("**/tasks/events/**", break_stream)
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_attached()
    follow_until_finished(page, control)
    assert broken == [transport] * 3


@pytest.mark.parametrize(
    ("transport", "fallback", "response"),
    [("websocket", "stream", ("websocket", 101)), ("stream", "poll", ("stream", 200))],
)
def test_a_refused_transport_is_tried_again_after_five_minutes(
    context: BrowserContext,
    page: Page,
    start: Any,
    transport: str,
    fallback: str,
    response: tuple[str, int],
):
    job, control = start(context)
    is_refused = True

    def connect(socket: WebSocketRoute) -> None:
        if is_refused:
            socket.close()
        else:
            socket.connect_to_server()

    def respond(route: Route) -> None:
        if is_refused and transport == "stream":
            route.fulfill(status=501)
        else:
            route.continue_()

    page.route_web_socket("**/tasks/ws/", connect)
    page.route("**/tasks/events/**", respond)
    responses = record_responses(page)
    page.clock.install()
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_attached()

    def is_recorded(expected: tuple[str, int]) -> bool:
        page.clock.run_for(100)
        return expected in responses

    wait_until(lambda: is_recorded((fallback, 200)), "the page falls back", page=page)
    is_refused = False
    page.clock.run_for(301_000)
    page.evaluate("dispatchEvent(new Event('online'))")  # connect again
    wait_until(lambda: is_recorded(response), "the transport is used again", page=page)
    page.clock.resume()
    follow_until_finished(page, control)


def test_the_websocket_is_tried_first_when_the_network_is_back(
    site: Site, context: BrowserContext, page: Page, start: Any
):
    """Without a network a WebSocket fails as where it is refused."""
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport=websocket")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    site.kill()
    expect(page.locator("task-status").get_by_text("Reconnecting")).to_be_visible()
    responses = record_responses(page)
    site.start()
    follow_until_finished(page, control)
    assert ("stream", 200) not in responses


# --- a server that refuses ------------------------------------------------------------------------


def refuse(page: Page, transport: str, retry_after: str, *, times: int) -> list[float]:
    """Refuse to stream; return the times of the page's attempts, which are added later."""
    attempts: list[float] = []

    def is_refused() -> bool:
        attempts.append(page.evaluate("performance.now()"))
        return len(attempts) <= times

    if transport == "websocket":
        refuse_sockets(page, retry_after, is_refused)
    else:
        refuse_streams(page, retry_after, is_refused)
    return attempts


def refuse_streams(page: Page, retry_after: str, is_refused: Callable[[], bool]) -> None:
    def respond(route: Route) -> None:
        if is_refused():
            route.fulfill(status=503, headers={"Retry-After": retry_after})
        else:
            route.continue_()

    page.route("**/tasks/events/**", respond)


def refuse_sockets(page: Page, retry_after: str, is_refused: Callable[[], bool]) -> None:
    problem: dict[str, Any] = {"type": "urn:offload:busy", "status": 503}
    if retry_after.isdigit():
        problem["retry_after"] = int(retry_after)

    def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def respond(message: str | bytes) -> None:
            if is_refused():
                socket.send(json.dumps({"event": "error", "data": problem}))
            else:
                server.send(message)

        socket.on_message(respond)

    page.route_web_socket("**/tasks/ws/", connect)


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_busy_server_is_retried_when_it_says_so(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    attempts = refuse(page, transport, "2", times=1)
    page.goto(f"/show/?ids={job}&transport={transport}")
    follow_until_finished(page, control)
    assert attempts[1] - attempts[0] >= 1_600


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_without_seconds_in_retry_after_the_delays_grow(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    """`Retry-After` may be a date, as of a site under maintenance."""
    job, _ = start(context)
    attempts = refuse(page, transport, "Wed, 21 Oct 2099 07:28:00 GMT", times=100)
    page.add_init_script("Math.random = () => 0.5")  # delays of half a second, one, two
    page.goto(f"/show/?ids={job}&transport={transport}")
    wait_until(lambda: attempts, "the page has connected", page=page)
    assert not happens_within(2, lambda: len(attempts) > 5, page=page)


# --- jobs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transport", "response"), [("stream", ("stream", 200)), ("websocket", ("websocket", 101))]
)
def test_all_elements_share_one_connection(
    context: BrowserContext, page: Page, start: Any, transport: str, response: tuple[str, int]
):
    jobs = [start(context) for _ in range(4)]
    responses = record_responses(page)
    ids = [job for job, _ in jobs]
    page.goto(f"/show/?ids={','.join([*ids, ids[0]])}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_have_count(5)
    for _, control in jobs:
        control.finish()
    expect(page.locator("[data-phase=succeeded]")).to_have_count(5)
    assert responses == [response]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_element_that_is_added_is_followed_too(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    first, _ = start(context)
    second, control = start(context)
    page.goto(f"/show/?ids={first}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate(
        """id => {
            const template = document.getElementById("offload-task-status");
            const element = template.content.querySelector("task-status").cloneNode(true);
            element.setAttribute("href", `/tasks/${id}/`);
            document.querySelector("main").append(element);
        }""",
        second,
    )
    control.finish()
    expect(page.locator("[data-phase=succeeded]")).to_contain_text("Monthly report")


@pytest.mark.parametrize(
    ("status", "label"), [(404, "Not available"), (410, "No longer available")]
)
def test_a_job_that_does_not_exist(
    context: BrowserContext, page: Page, start: Any, status: int, label: str
):
    job, _ = start(context)
    missing = {"items": [], "missing": [job], "poll_ms": None}
    page.route("**/tasks/?ids=*", lambda route: route.fulfill(json=missing))
    page.route(f"**/tasks/{job}/", lambda route: route.fulfill(status=status))
    page.goto(f"/show/?ids={job}&transport=poll")
    expect(page.locator("task-status")).to_contain_text(label)
    assert page.evaluate("events.at(-1)[0]") == "task-offline"


# --- permissions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_after_sign_out_the_job_is_not_available(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    control.progress(10)
    expect(page.locator("task-status")).to_contain_text("10%")
    context.request.get("/sign-out/")
    expect(page.locator("task-status")).to_contain_text("Not available")
    control.finish()


@pytest.mark.parametrize("transport", LIVE_TRANSPORTS)
def test_a_redirect_to_the_login_page_stops_the_element(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, _ = start(context)
    problem = {"type": "about:blank", "title": "", "status": 302}

    def connect(socket: WebSocketRoute) -> None:
        socket.on_message(lambda _: socket.send(json.dumps({"event": "error", "data": problem})))

    page.route_web_socket("**/tasks/ws/", connect)
    page.route(
        "**/tasks/events/**",
        lambda route: route.fulfill(status=302, headers={"Location": "/sign-in/"}),
    )
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("task-status")).to_contain_text("Please sign in again")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_after_an_invalid_token_the_element_waits_for_another(
    context: BrowserContext, page: Page, start: Any, transport: str
):
    job, control = start(context)
    page.goto(f"/show/?ids={job}&transport={transport}")
    status = page.locator("task-status")
    expect(status).to_have_attribute("data-phase", "running")
    status.evaluate("element => element.setAttribute('token', 'forged')")
    expect(status).to_contain_text("Please sign in again")
    assert page.evaluate("events.at(-1)") == [
        "task-offline",
        "signed-out",
        page.evaluate("document.querySelector('task-status').state.version"),
    ]
    status.evaluate("element => element.removeAttribute('token')")
    expect(status).to_have_attribute("data-phase", "running")
    control.finish()
    expect(status).to_have_attribute("data-phase", "succeeded")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_shows_a_job_to_a_visitor(
    browser: Browser, site: Site, context: BrowserContext, start: Any, transport: str
):
    job, control = start(context)
    token = context.request.get("/token/", params={"id": job}).json()["token"]
    visitor = browser.new_context(base_url=site.url)
    page = visitor.new_page()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    page.goto(f"/show/?ids={job}&transport={transport}")
    expect(page.locator("task-status")).to_contain_text("Not available")
    page.evaluate(
        """([id, token]) => {
            const element = document.querySelector("task-status");
            element.removeAttribute("data-finished");
            element.setAttribute("token", token);
            element.setAttribute("href", `/tasks/${id}/`);
        }""",
        [job, token],
    )
    expect(page.locator("[data-phase=running]")).to_be_visible()
    control.progress(20)
    expect(page.locator("task-status")).to_contain_text("20%")
    assert not [url for url in urls if token in url]
    visitor.close()


# --- browsers and pages that differ ---------------------------------------------------------------


def test_a_browser_without_custom_states(context: BrowserContext, page: Page, start: Any):
    page.add_init_script(
        "CustomStateSet.prototype.add = () => { throw new DOMException('', 'SyntaxError'); }"
    )
    job, control = start(context)
    page.goto(f"/show/?ids={job}")
    follow_until_finished(page, control)


def test_a_page_whose_language_tag_is_invalid(context: BrowserContext, page: Page, start: Any):
    job, control = start(context)
    page.goto(f"/show/?ids={job}")
    expect(page.locator("[data-phase=running]")).to_be_visible()
    page.evaluate("document.documentElement.lang = 'en_US'")
    control.finish()
    expect(page.get_by_role("link")).to_be_visible()
    expect(page.locator("time")).to_have_text(re.compile(r"\d"))
    assert page.evaluate("events.at(-1)[0]") == "task-succeeded"


def test_the_policy_needs_no_source_for_websockets_but_self(page: Page, site: Site):
    response: Any = page.goto("/show/?transport=websocket")
    assert response.headers["content-security-policy"].startswith("default-src 'self';")
    url = f"{site.url}/tasks/ws/".replace("http", "ws", 1)
    opened = page.evaluate(
        "url => new Promise((resolve) => { new WebSocket(url).onopen = () => resolve(true); })", url
    )
    assert opened
