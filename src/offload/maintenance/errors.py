"""Errors of the ready-made tasks."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured


class CommandNotAllowed(ImproperlyConfigured):
    """The settings do not allow a job to run the management command."""


class DirectoryNotAllowed(ImproperlyConfigured):
    """The settings do not allow backups in the directory."""


class BackupError(Exception):
    """A backup failed. Nothing is left of it, and no older backup was deleted."""
