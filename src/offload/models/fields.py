"""The model field for times."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models

from offload.timestamps import to_datetime, to_microseconds

if TYPE_CHECKING:
    _Base = models.BigIntegerField[datetime | int | None, datetime | None]
else:
    _Base = models.BigIntegerField


class TimestampField(_Base):
    """A time: whole microseconds since 1970 UTC in the database, a datetime in Python.

    A number does not depend on USE_TZ, the connection's time zone or the server's settings, keeps
    microseconds on SQLite, and costs nothing to read on the hot path.
    """

    description = "Time, to the microsecond"

    def from_db_value(self, value: int | None, *_: Any) -> datetime | None:
        return None if value is None else to_datetime(value)

    def to_python(self, value: Any) -> Any:
        return to_datetime(value) if isinstance(value, int) else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return to_microseconds(value)
        return super().get_prep_value(value)
