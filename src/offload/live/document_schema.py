"""The JSON Schema of the status document, for descriptions of an API."""

from __future__ import annotations

from typing import Any

from offload.lifecycle import JobState

type Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


_TEXT: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_BOOLEAN: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_URL: Schema = {"type": "string", "format": "uri-reference"}

_PROGRESS = _object(
    done=_or_null(_NUMBER),
    total=_or_null(_NUMBER),
    percent={**_or_null(_NUMBER), "minimum": 0, "maximum": 100},
    message=_TEXT,
    step=_or_null(_object(number=_or_null(_INTEGER), of=_or_null(_INTEGER), name=_TEXT)),
    updated_at=_or_null(_TIME),
)
_ESTIMATE = _object(
    remaining_seconds=_or_null(_INTEGER),
    position=_or_null(_INTEGER),
    delay={"enum": ["concurrency", "paused", "rate", "slow", "unserved", None]},
    reason=_or_null(_TEXT),
)

DOCUMENT_SCHEMA: Schema = {
    "title": "Task status",
    **_object(
        id={"type": "string", "format": "uuid"},
        title=_TEXT,
        state={"enum": [state.label for state in JobState]},
        phase={**_TEXT, "description": "The state as shown to users; new values may be added."},
        status={"enum": sorted({state.status.value for state in JobState})},
        is_finished=_BOOLEAN,
        version=_INTEGER,
        progress=_or_null(_PROGRESS),
        attempt=_object(number=_INTEGER, max=_INTEGER, next_at=_or_null(_TIME)),
        enqueued_at=_TIME,
        started_at=_or_null(_TIME),
        finished_at=_or_null(_TIME),
        expires_at=_or_null(_TIME),
        run_after=_or_null(_TIME),
        estimate=_ESTIMATE,
        result={"description": "The return value, if the task exposes it and it is small."},
        error=_or_null(_object(type=_TEXT, title=_TEXT, detail=_or_null(_TEXT), reference=_TEXT)),
        poll_ms=_or_null(_INTEGER),
        links=_object(
            self=_or_null(_URL),
            events=_or_null(_URL),
            cancel=_or_null(_URL),
            result=_or_null(_URL),
            page=_or_null(_URL),
        ),
    ),
}
"""JSON Schema (draft 2020-12, as in OpenAPI 3.1) of the document that `document` returns."""
