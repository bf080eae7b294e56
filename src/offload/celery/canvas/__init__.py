"""`offload.celery.canvas`, under Celery's name: signatures, chains, groups, chords and chunks."""

from offload.celery.canvas.chains import chain
from offload.celery.canvas.chords import chord
from offload.celery.canvas.chunks import chunks, xmap, xstarmap
from offload.celery.canvas.groups import group
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
