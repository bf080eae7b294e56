"""The settings of Celery that a project has, and what becomes of each."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.views.debug import SafeExceptionReporterFilter

from offload.celery.tasks.current import existing_app
from offload.from_celery.known_settings import KNOWN, OLD_NAMES, meaning_of
from offload.from_celery.report import Item

PREFIX = "CELERY_"
MAX_SHOWN = 60
"""Characters of a value that are shown."""


class Setting(NamedTuple):
    """A setting of Celery.

    Attributes:
        label: where the project sets it.
        value: what it sets.
    """

    label: str
    value: Any


def read_settings(of_celery: Mapping[str, Any]) -> dict[str, Setting]:
    """Return the settings of a project by their names in lower case, such as "task_routes".

    Args:
        of_celery: those of its app of Celery, if it has one.
    """
    found: dict[str, Setting] = {}
    for label in sorted(name for name in dir(django_settings) if name.isupper()):
        name = _name_of(label)
        if name:
            found[name] = Setting(label, getattr(django_settings, label))
    app = existing_app()  # the periodic tasks of one that is made only here would count
    if app is not None:
        conf = app.conf
        for name in sorted(KNOWN):
            if name not in found and conf.is_set(name):
                found[name] = Setting(f"app.conf.{name}", conf[name])
    for name, value in of_celery.items():
        found.setdefault(name, Setting(f"app.conf.{name}", value))
    return found


def settings_items(found: Mapping[str, Setting]) -> list[Item]:
    """Return what becomes of each setting."""
    return [_item(name, setting) for name, setting in found.items()]


def broker_of(found: Mapping[str, Setting]) -> str:
    """Return the URL of the broker; empty if no setting names one."""
    for name in ("broker_read_url", "broker_url"):
        value = found[name].value if name in found else ""
        if value:
            return str(value if isinstance(value, str) else next(iter(value)))
    return os.environ.get("CELERY_BROKER_URL", "")


def without_password(url: str) -> str:
    """Return a URL that may be shown."""
    return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:***@", url)


def _name_of(label: str) -> str:
    """Return Celery's name of a setting of Django's; empty if it is none of Celery's."""
    if label in OLD_NAMES:
        return OLD_NAMES[label]
    return label.removeprefix(PREFIX).lower() if label.startswith(PREFIX) else ""


def _item(name: str, setting: Setting) -> Item:
    meaning = meaning_of(name, setting.value)
    label = f"{setting.label} = {_shown(setting)}"
    return Item(label, meaning.becomes, meaning.lost, meaning.by_hand)


def _shown(setting: Setting) -> str:
    value = SafeExceptionReporterFilter().cleanse_setting(setting.label, setting.value)
    text = without_password(repr(value))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
