"""The messages of Celery's protocols, versions 1 and 2."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from offload.celery.calls.times import aware, zone_of
from offload.celery.tasks.current import get_current_app
from offload.celery.tasks.ids import is_own_text
from offload.from_celery.called import Called

JSON = "application/json"
PICKLE = {"application/x-python-serialize", "application/pickle"}
OF_PROTOCOL = {
    "argsrepr",
    "compression",
    "eta",
    "expires",
    "group",
    "group_index",
    "id",
    "ignore_result",
    "kwargsrepr",
    "lang",
    "offload",
    "origin",
    "parent_id",
    "periodic_task_name",
    "replaced_task_nesting",
    "retries",
    "root_id",
    "shadow",
    "stamped_headers",
    "stamps",
    "task",
    "timelimit",
}
"""Headers of Celery's own and of the result backend; the others are those of the project."""
MAX_SHOWN = 80
"""Characters of a body that cannot be read which its error shows."""


class CannotRead(ValueError):
    """Raised for a message that is no readable call of a task; its text says why."""


class Message(NamedTuple):
    """A message as the broker has it, uncompressed.

    Attributes:
        body: its body.
        content_type: what the body is.
        headers: its headers.
        properties: its properties: `correlation_id`, `priority` and others.
    """

    body: bytes
    content_type: str
    headers: Mapping[str, Any]
    properties: Mapping[str, Any]

    @property
    def task_id(self) -> str:
        """The id of its task, as far as it can be told without reading the body."""
        return str(self.headers.get("id") or self.properties.get("correlation_id") or "unknown")

    @property
    def task_name(self) -> str:
        """The name of its task; empty if only the body tells it."""
        return str(self.headers.get("task") or "")


@dataclass(slots=True)
class ReadMessage:
    """The call of a task that a message stands for, and what follows it.

    Attributes:
        called: the call.
        task_id: its id.
        chain: the signatures that follow, in their order.
        link, link_error: the signatures that follow, or follow if it fails.
        retries: how often it was retried already.
        is_in_chord: whether it is a task of the header of a chord.
    """

    called: Called
    task_id: str
    chain: list[Any]
    link: list[Any]
    link_error: list[Any]
    retries: int
    is_in_chord: bool


def read_message(message: Message, queue: str, *, allow_pickle: bool = False) -> ReadMessage:
    """Return the call that a message stands for.

    Args:
        message: the message.
        queue: where it waits.
        allow_pickle: whether its body may be unpickled, which runs whatever code is in it.

    Raises:
        CannotRead: for another message.
    """
    body = _decoded(message, allow_pickle=allow_pickle)
    try:
        if "task" in message.headers:
            args, kwargs, following = body
            fields: Mapping[str, Any] = message.headers
        else:
            args, kwargs, following, fields = body["args"], body["kwargs"], body, body
        return _read(fields, following or {}, (list(args), dict(kwargs)), (message, queue))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CannotRead(
            f"It is not a call in Celery's protocol 1 or 2 ({type(error).__name__}: {error}). Let "
            "the program that reads such messages take it."
        ) from error


def _read(
    fields: Mapping[str, Any],
    following: Mapping[str, Any],
    arguments: tuple[list[Any], dict[str, Any]],
    place: tuple[Message, str],
) -> ReadMessage:
    message, queue = place
    task_id = str(fields["id"])
    hard, soft = fields.get("timelimit") or (None, None)
    priority = message.properties.get("priority")
    called = Called(
        str(fields["task"]),
        *arguments,
        headers=_own_headers(message),
        queue=queue,
        priority=None if priority is None else int(priority),
        eta=_moment(fields.get("eta")),
        expires=_moment(fields.get("expires")),
        options={
            "time_limit": hard,
            "soft_time_limit": soft,
            "ignore_result": fields.get("ignore_result") or None,
            "shadow": fields.get("shadow"),
            "group_id": fields.get("group") or fields.get("taskset"),
            "root_id": fields.get("root_id"),
            "parent_id": fields.get("parent_id"),
        },
        own_id=task_id if is_own_text(task_id) else "",
    )
    return ReadMessage(
        called,
        task_id,
        chain=list(reversed(following.get("chain") or ())),
        link=list(following.get("callbacks") or ()),
        link_error=list(following.get("errbacks") or ()),
        retries=int(fields.get("retries") or 0),
        is_in_chord=bool(following.get("chord")),
    )


def _decoded(message: Message, *, allow_pickle: bool) -> Any:
    if message.content_type in PICKLE:
        if not allow_pickle:
            raise CannotRead(
                "It is pickled, and reading it would run whatever code is in it. If you trust all "
                "who can write to this broker, pass --allow-pickle."
            )
        try:
            return pickle.loads(message.body)  # noqa: S301  # asked for by --allow-pickle
        except Exception as error:
            raise CannotRead(
                f"Its pickle cannot be read: {error!r}. Let a worker of Celery with the old code "
                "finish it."
            ) from error
    if message.content_type != JSON:
        raise CannotRead(
            f"Its content type is {message.content_type!r}; only {JSON} is read. Let Celery's "
            "workers finish it."
        )
    try:
        return json.loads(message.body)
    except ValueError as error:
        shown = repr(message.body[:MAX_SHOWN])
        raise CannotRead(
            f"Its body is not JSON ({error}): {shown}. Let Celery's workers finish it."
        ) from error


def _own_headers(message: Message) -> dict[str, Any]:
    """Return the headers of the project: neither those of Celery nor those of the broker."""
    return {
        name: value
        for name, value in message.headers.items()
        if name not in OF_PROTOCOL and not name.startswith("x-")
    }


def _moment(value: Any) -> datetime | None:
    if not value:
        return None
    return aware(value, zone_of(get_current_app().conf))
