"""A job as the hub saw it, and its document as text, made once for all who read it alike."""

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
    from offload.store.records import JobSnapshot

SEPARATORS = (",", ":")


class Wording(NamedTuple):
    """What a request says of texts and links; whoever writes them later must know."""

    language: str | None
    script_prefix: str
    urlconf: str | None

    @classmethod
    def current(cls) -> Wording:
        """Return that of the running request."""
        return cls(translation.get_language(), get_script_prefix(), get_urlconf())

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """Write texts and links as that request would, within a `with` block."""
        before = Wording.current()
        _speak(self)
        try:
            yield
        finally:
            _speak(before)


def _speak(wording: Wording) -> None:
    if wording.language is None:
        translation.deactivate_all()
    else:
        translation.activate(wording.language)
    set_script_prefix(wording.script_prefix)
    set_urlconf(wording.urlconf)


@dataclass(slots=True, eq=False)
class RenderedSnapshot:
    """Args:
    seen: the job.
    queue_position: what is known of a job that has not begun for long.
    """

    seen: JobSnapshot
    queue_position: QueuePosition | None = None
    _texts: dict[tuple[Grants, Wording], str] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return self.seen.id

    @property
    def version(self) -> int | None:
        """None if the job is gone."""
        return None if self.seen.job is None else self.seen.job.version

    def text(self, grants: Grants, wording: Wording) -> str:
        """Return the status document as JSON, in one line."""
        key = (grants, wording)
        if key not in self._texts:
            assert self.seen.job is not None  # noqa: S101  # for the type checker
            with wording.spoken():
                found = document(
                    self.seen.job,
                    grants,
                    failure=self.seen.failure,
                    queue_position=self.queue_position,
                )
            self._texts[key] = json.dumps(found, separators=SEPARATORS)
        return self._texts[key]
