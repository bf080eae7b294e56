"""What only Celery shows of a task: kept beside the progress of its row.

It is what every result backend of Celery stores (its *meta*). The value of a successful task that
every reader of JSON understands is left out: the row has it as the return value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from offload.celery_results.library import json as celery_json
from offload.progress import PLAIN_TYPES

_MESSAGES = ("description", "status", "message", "step")
"""Keys of a state's value whose text is shown as the current activity, in this order."""
_NOTE = '"note": {"celery": '
WRAPPER = '"__type__"'
"""What Celery's JSON has for a value that JSON does not have."""


def progress_text(note: str, shown: Any = None) -> str:
    """Return the progress of a row.

    Args:
        note: what Celery shows, in its JSON.
        shown: the value of a state that the task set; `current` and `total` are the progress.
    """
    return f"{{{_progress(shown)}{_NOTE}{note}}}}}"


def read_meta(progress: str | None) -> dict[str, Any]:
    """Return the note in `progress_text`; nothing if the row has none, or a damaged one."""
    try:
        note = celery_json.loads(progress or "{}")["note"]["celery"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def pack(payload: str | bytes) -> str:
    """Return the bytes of another serializer than JSON as text."""
    return base64.b64encode(payload if isinstance(payload, bytes) else payload.encode()).decode()


def unpack(text: str) -> bytes:
    """Return the bytes that `pack` was given."""
    return base64.b64decode(text)


def plain_json(text: str) -> str:
    """Return JSON with texts in place of the values that only Celery's JSON has."""
    if WRAPPER not in text:
        return text
    return json.dumps(json.loads(text, object_hook=_unwrap))


def _unwrap(value: dict[str, Any]) -> Any:
    return value["__value__"] if value.keys() == {"__type__", "__value__"} else value


def _progress(shown: Any) -> str:
    if not isinstance(shown, Mapping):
        return ""
    done, total = shown.get("current"), shown.get("total")
    if type(done) not in PLAIN_TYPES or type(total) not in PLAIN_TYPES or done is None:
        return ""
    texts = (shown[key] for key in _MESSAGES if isinstance(shown.get(key), str))
    values = {
        "done": done,
        "total": total,
        "message": next(texts, ""),
        "step": None,
        "updated_at": datetime.now(UTC).isoformat(),
    }
    return f"{json.dumps(values)[1:-1]}, "
