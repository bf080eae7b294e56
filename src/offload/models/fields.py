"""The model field for times."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.db import models

from offload.timestamps import to_datetime, to_microseconds

if TYPE_CHECKING:
    from django.db.models.sql.compiler import SQLCompiler

    _Base = models.DateTimeField[datetime | int | None, datetime | None]
    _FormField = forms.Field
else:
    _Base = models.DateTimeField
    _FormField = object


_DIGITS = re.compile(r"-?\d{9,}")
"""A number as text; fewer digits are a date, as in 20260131."""


class TimestampField(_Base):
    """A time: whole microseconds since 1970 UTC in the database, a datetime in Python.

    A number does not depend on USE_TZ, the connection's time zone or the server's settings, keeps
    microseconds on SQLite, and costs nothing to read on the hot path.

    Dumps (`dumpdata`) have the number too: as text, JSON would keep only milliseconds.
    """

    description = "Time, to the microsecond"

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def from_db_value(self, value: int | None, *_: Any) -> datetime | None:
        return None if value is None else to_datetime(value)

    def to_python(self, value: Any) -> Any:
        number = _number(value)
        return super().to_python(value) if number is None else to_datetime(number)

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return to_microseconds(value)
        number = _number(value)
        if number is not None:
            return number
        moment = super().get_prep_value(value)  # warns of a naive datetime
        return to_microseconds(moment) if isinstance(moment, datetime) else moment

    def get_db_prep_value(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        # Not DateTimeField's, which makes a value for a column of datetimes.
        return models.Field.get_db_prep_value(self, value, *args, **kwargs)

    def value_from_object(self, obj: models.Model) -> Any:
        """Return the number, for serializers and for the initial values of forms."""
        value = super().value_from_object(obj)
        return to_microseconds(value) if isinstance(value, datetime) else value

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))

    def get_transform(self, lookup_name: str) -> Callable[[Any], Any] | None:  # type: ignore[override]
        """Return Django's transform of a datetime, such as `__date`, applied to the number."""
        if lookup_name == AsDatetime.lookup_name:
            return AsDatetime
        transform = super().get_transform(lookup_name)
        if transform is None:
            return None
        return lambda column: transform(AsDatetime(column))

    def formfield(self, **kwargs: Any) -> Any:
        form_class = _accepting_numbers(kwargs.pop("form_class", forms.DateTimeField))
        return super().formfield(form_class=form_class, **kwargs)


class AsDatetime(models.Transform):
    """The column as the database's own type for a datetime: `__datetime` in a query."""

    lookup_name = "datetime"

    @property
    def output_field(self) -> models.DateTimeField[Any, Any]:
        return models.DateTimeField()

    def as_postgresql(self, compiler: SQLCompiler, *_: Any) -> tuple[str, Any]:
        column, params = compiler.compile(self.lhs)
        return f"(timestamptz 'epoch' + {column} * interval '1 microsecond')", params

    def as_mysql(self, compiler: SQLCompiler, *_: Any) -> tuple[str, Any]:
        column, params = compiler.compile(self.lhs)
        sql = f"TIMESTAMPADD(MICROSECOND, {column}, TIMESTAMP '1970-01-01 00:00:00.000000')"
        if settings.USE_TZ:
            return sql, params
        return f"CONVERT_TZ({sql}, '+00:00', %s)", (*params, settings.TIME_ZONE)

    def as_sqlite(self, compiler: SQLCompiler, *_: Any, **__: Any) -> tuple[str, Any]:
        """Return text as Django writes it: without a fraction if there is none."""
        column, params = compiler.compile(self.lhs)
        zone = "" if settings.USE_TZ else ", 'localtime'"  # Django sets TZ to TIME_ZONE
        fraction = f"CASE WHEN {column} %% 1000000 THEN printf('.%%06d', {column} %% 1000000) END"
        seconds = f"datetime({column} / 1000000, 'unixepoch'{zone})"
        return f"({seconds} || COALESCE({fraction}, ''))", (*params, *params, *params)


def _number(value: Any) -> int | None:
    """Return a number of microseconds, which may be text as in a dump; None for other values."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return None


class _NumberMixin(_FormField):
    """Makes a form field take the number of microseconds as its initial value."""

    def prepare_value(self, value: Any) -> Any:
        return super().prepare_value(self._as_datetime(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self._as_datetime(initial), data)

    def clean(self, value: Any) -> Any:
        return super().clean(self._as_datetime(value))

    def _as_datetime(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        moment = to_datetime(value)
        # As Django does it for a datetime: the widget sends none back.
        return moment if self.widget.supports_microseconds else moment.replace(microsecond=0)


@cache
def _accepting_numbers(form_class: type[forms.Field]) -> type[forms.Field]:
    return type(form_class.__name__, (_NumberMixin, form_class), {})
