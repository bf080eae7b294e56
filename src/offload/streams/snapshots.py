"""Snapshots of jobs, rendered once for all clients with the same grants and language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import translation

from offload.live.documents import document

if TYPE_CHECKING:
    from offload.live.access import Grants
    from offload.live.queue_position import QueuePosition
    from offload.models import Job
    from offload.store.records import JobSnapshot

SEPARATORS = (",", ":")


class RenderContext(NamedTuple):
    """The parts of a request on which the texts and links of a status document depend.

    Attributes:
        language: code of the active translation; None if translations are off.
        script_prefix: path that Django prepends to URLs.
        urlconf: module set for this request; None for `ROOT_URLCONF`.
    """

    language: str | None
    script_prefix: str
    urlconf: str | None

    @classmethod
    def current(cls) -> RenderContext:
        """Return the context of the current request."""
        return cls(translation.get_language(), get_script_prefix(), get_urlconf())

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Render texts and links for this context within a `with` block."""
        previous = RenderContext.current()
        _activate(self)
        try:
            yield
        finally:
            _activate(previous)


def _activate(context: RenderContext) -> None:
    if context.language is None:
        translation.deactivate_all()
    else:
        translation.activate(context.language)
    set_script_prefix(context.script_prefix)
    set_urlconf(context.urlconf)


@dataclass(slots=True, eq=False)
class RenderedSnapshot:
    """A snapshot of a job with its status document as JSON.

    Args:
        snapshot: the job, or that it was deleted.
        queue_position: why the job has not started, if it is delayed.
    """

    snapshot: JobSnapshot
    queue_position: QueuePosition | None = None
    _documents: dict[tuple[Grants, RenderContext], str] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return self.snapshot.id

    @property
    def job(self) -> Job | None:
        """None if the job was deleted."""
        return self.snapshot.job

    @property
    def version(self) -> int | None:
        """None if the job was deleted."""
        job = self.snapshot.job
        return None if job is None else job.version

    @property
    def is_finished(self) -> bool:
        """Whether no other snapshot can follow."""
        return self.snapshot.is_finished

    def to_json(self, grants: Grants, context: RenderContext) -> str:
        """Return the status document as JSON, in one line."""
        key = (grants, context)
        if key not in self._documents:
            with context.activate():
                self._documents[key] = json.dumps(self._render(grants), separators=SEPARATORS)
        return self._documents[key]

    def _render(self, grants: Grants) -> dict[str, object]:
        job, failure = self.snapshot.job, self.snapshot.failure
        assert job is not None  # noqa: S101  # for the type checker
        return document(job, grants, failure=failure, queue_position=self.queue_position)
