"""Checks that a status document has exactly the keys and types of its schema."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from offload.live import DOCUMENT_SCHEMA


def check_document(document: Any) -> None:
    """Raise ValidationError for a document with another key, without one, or with another type."""
    _VALIDATOR.validate(document)


def _strict(schema: Any) -> Any:
    """Return a schema that allows no other keys."""
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(part) for name, part in schema.items()}
    return {**strict, "additionalProperties": False} if "required" in schema else strict


Draft202012Validator.check_schema(DOCUMENT_SCHEMA)
_VALIDATOR = Draft202012Validator(_strict(DOCUMENT_SCHEMA))
