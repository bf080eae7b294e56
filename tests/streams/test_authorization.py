"""The response to a rights request, as a WebSocket reports it."""

from __future__ import annotations

import json

from offload.streams.authorization import AuthorizationResponse

BUSY = {"type": "urn:offload:busy", "title": "Busy", "status": 503}


def test_a_problem_document_is_passed_on_with_retry_after():
    response = AuthorizationResponse(status=503, retry_after=7, body=json.dumps(BUSY).encode())

    assert response.problem() == {**BUSY, "retry_after": 7}


def test_any_other_response_becomes_a_problem_with_its_status():
    for body in (b"", b"<h1>Sign in</h1>", b"[]", b"null", json.dumps(BUSY).encode()):
        response = AuthorizationResponse(status=302, body=body)

        assert response.problem() == {"type": "about:blank", "title": "", "status": 302}
