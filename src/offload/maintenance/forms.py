"""The forms of the arguments with which operators may schedule the ready-made tasks.

They refuse what the settings do not allow, so that the operator sees the error at once; the jobs
would refuse it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError

from offload.maintenance.backup_folder import require_allowed_directory
from offload.maintenance.backups import METHODS
from offload.maintenance.commands import require_allowed


class CommandForm(forms.Form):
    """The name of a command, and any arguments."""

    name = forms.CharField()

    def clean_name(self) -> str:
        return _allowed(require_allowed, self.cleaned_data["name"])


class BackupForm(forms.Form):
    """The arguments of a backup."""

    directory = forms.CharField()
    keep = forms.IntegerField(min_value=1, required=False)
    database = forms.CharField(required=False)
    method = forms.ChoiceField(choices=[(name, name) for name in METHODS], required=False)

    def clean_directory(self) -> str:
        return _allowed(require_allowed_directory, self.cleaned_data["directory"])


def _allowed(require: Callable[[str], Any], value: str) -> str:
    try:
        require(value)
    except ImproperlyConfigured as error:
        raise ValidationError(str(error)) from error
    return value
