"""Describes a schedule in the reader's language.

The English text comes from `cronsim`, which also computes the ticks; text in other languages from
the optional library `cron-descriptor`. Without it, and for an expression that it describes wrongly,
the text is English.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext_lazy as _

from offload.policies.cron import make_cron

MICROSECONDS = 1_000_000
UNITS = (
    (86400, _("Every day"), _("Every %(count)s days")),
    (3600, _("Every hour"), _("Every %(count)s hours")),
    (60, _("Every minute"), _("Every %(count)s minutes")),
    (1, _("Every second"), _("Every %(count)s seconds")),
)
"""Units of an interval: their seconds, and the words for one and for several of them."""

_ITEM = r"\w+(?:-\w+)?"
_ITEMS = rf"{_ITEM}(?:,{_ITEM})*"
_OF_60 = rf"\*(?:/(?:1|2|3|4|5|6|10|12|15|20|30))?|{_ITEMS}"
_DAYS = r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*"
_WEEKDAYS = rf"\dL|\w+#\d|(?!\dL){_ITEMS}"
DESCRIBED = re.compile(
    rf"(?:(?:{_OF_60}) )?(?:{_OF_60}) (?:\*(?:/(?:1|2|3|4|6|8|12))?|{_ITEMS}) "
    rf"(?:(?:{_DAYS}|LW?|\*) (?:\*(?:/(?:1|2|3|4|6))?|{_ITEMS}) \*"
    rf"|\* (?:\*(?:/(?:1|2|3|4|6))?|{_ITEMS}) (?:{_WEEKDAYS}))"
)
"""Expressions that `cron-descriptor` describes rightly. It is wrong about steps that do not divide
the hour, the day or the year, about lists with steps, "L" or "#", and about a day of the month
together with a day of the week."""


def cron_in_words(expression: str, zone: str) -> str:
    """Return what an expression means.

    Raises:
        ValueError: for an expression or a time zone that does not exist.
    """
    cron = make_cron(expression, zone)
    return _translated(cron.fields.upper()) or cron.in_english()


def interval_in_words(microseconds: int) -> str:
    """Return what an interval means, such as "Every 5 minutes"."""
    seconds = microseconds / MICROSECONDS
    length, one, several = next((unit for unit in UNITS if seconds % unit[0] == 0), UNITS[-1])
    count = seconds / length
    if count == 1:
        return str(one)
    return str(several % {"count": f"{count:g}"})


def _translated(fields: str) -> str:
    """Return the text of the library; empty if the English text is better."""
    library, language = _library(), get_language() or "en"
    if library is None or language.partition("-")[0] == "en" or not DESCRIBED.fullmatch(fields):
        return ""
    locale = _locale_of(language, _locales(library))
    if not locale:
        return ""
    options = library.Options(locale_code=locale, use_24hour_time_format=True)
    try:
        return _with_names(library.get_description(fields, options))
    except Exception:  # noqa: BLE001  # of a library; there are other words
        return ""


@lru_cache(maxsize=1)
def _library() -> Any:
    try:
        return import_module("cron_descriptor")
    except ImportError:
        return None


@lru_cache(maxsize=1)
def _locales(library: Any) -> frozenset[str]:
    """Return the names of the library's translations; it has no function that lists them."""
    folder = Path(library.__file__).parent / "locale"
    return frozenset(path.stem for path in folder.glob("*.mo"))


def _locale_of(language: str, locales: frozenset[str]) -> str:
    """Return the library's translation for a language of Django, such as "de_DE" for "de-at"."""
    name = to_locale(language)
    main = name.partition("_")[0]
    similar = [locale for locale in locales if locale.partition("_")[0] == main]
    for locale in (name, f"{main}_{main.upper()}"):
        if locale in locales:
            return locale
    return similar[0] if len(similar) == 1 else ""


def _with_names(text: str) -> str:
    """Translate the names of days and months, which the library takes from Python's calendar."""
    names: Mapping[str, Any] = {
        **{calendar.day_name[day]: name for day, name in WEEKDAYS.items()},
        **{calendar.month_name[month]: name for month, name in MONTHS.items()},
    }
    pattern = "|".join(re.escape(name) for name in names)
    return re.sub(rf"\b(?:{pattern})\b", lambda match: str(names[match[0]]), text)
