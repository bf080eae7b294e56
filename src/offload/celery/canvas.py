"""`offload.celery.canvas`, under Celery's name: signatures, chains, groups, chords and chunks."""

from offload.celery.chains import chain
from offload.celery.chords import chord
from offload.celery.chunks import chunks, xmap, xstarmap
from offload.celery.groups import group
from offload.celery.signatures import Signature, maybe_signature, signature, subtask

__all__ = [
    "Signature",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]
