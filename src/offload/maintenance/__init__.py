"""Ready-made tasks for every night: management commands, clean-up and backups.

    from offload.maintenance import back_up

    back_up.enqueue("/srv/backups", keep=7)

A worker finds them without registration. They can be scheduled in the settings and at run time.
`run_command` runs only the commands that OPTIONS["allowed_commands"] names, and `back_up` writes
only into OPTIONS["backup_directories"].
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy

from offload.maintenance import backups, commands, sessions
from offload.maintenance.errors import BackupError, CommandNotAllowed, DirectoryNotAllowed
from offload.maintenance.forms import BackupForm, CommandForm
from offload.policies import Concurrency, Fixed
from offload.ready_made import ready_made_task

__all__ = [
    "BackupError",
    "CommandNotAllowed",
    "DirectoryNotAllowed",
    "back_up",
    "clear_sessions",
    "prune_jobs",
    "run_command",
]


@ready_made_task(
    at_most_once=True,  # nobody knows what a second run of any command would do
    concurrency=Concurrency(1, key=commands.describe),
    timeout=timedelta(hours=6),
    title=gettext_lazy("Run a command"),
    visibility="staff",
    schedulable=CommandForm,
)
def run_command(name: str, *args: Any, **options: Any) -> str:
    """Run a management command, as Django's `call_command` does.

    The logger `offload.maintenance` gets each line of its output. Two jobs of the same command with
    the same arguments do not run at once.

    Args:
        name: of the command; OPTIONS["allowed_commands"] must name it.
        args: its arguments, such as "--older-than", 2.
        options: its options by their Python names, such as older_than=2.

    Returns:
        The end of its output, at most 20,000 characters.

    Raises:
        CommandNotAllowed: if the settings do not allow the command.
        CommandError: if the command failed, or exited with another code than 0.
    """
    commands.require_allowed(name)
    return commands.run(name, *args, **options)


@ready_made_task(
    max_attempts=3,
    concurrency=Concurrency(1),
    timeout=timedelta(hours=6),
    title=gettext_lazy("Clear expired sessions"),
    visibility="staff",
    schedulable=True,
)
def clear_sessions() -> int | None:
    """Delete expired sessions; those in the database in batches, so that others can write.

    Returns:
        The number of deleted sessions; None if the session engine does not tell.
    """
    return sessions.clear_expired()


@ready_made_task(
    max_attempts=3,
    concurrency=Concurrency(1),
    timeout=timedelta(hours=6),
    title=gettext_lazy("Delete old jobs"),
    visibility="staff",
    schedulable=True,
)
def prune_jobs(
    older_than: float | None = None, queue_name: str | None = None, backend: str = "default"
) -> str:
    """Delete old finished jobs, as `manage.py offload_prune` does.

    Args:
        older_than: days since they finished; by default keep_successful and keep_failed in OPTIONS.
        queue_name: delete only jobs of this queue.
        backend: alias in TASKS.
    """
    return commands.run("offload_prune", older_than=older_than, queue=queue_name, backend=backend)


@ready_made_task(
    max_attempts=3,
    backoff=Fixed(300),
    no_retry_on=(ImproperlyConfigured,),
    concurrency=Concurrency(1, key="{database}"),
    timeout=timedelta(hours=6),
    title=gettext_lazy("Back up the database"),
    visibility="staff",
    schedulable=BackupForm,
)
def back_up(
    directory: str, keep: int = 7, database: str = "default", method: backups.Method = "native"
) -> dict[str, Any]:
    """Write a backup of a database into a directory, and delete the oldest ones.

    Args:
        directory: an absolute path in OPTIONS["backup_directories"]; it is created for this user
            only if it does not exist.
        keep: how many backups of this database to keep.
        database: alias in DATABASES.
        method: "native" (SQLite's online backup, pg_dump, mariadb-dump), or "dumpdata".

    Returns:
        The `path` and the `bytes` of the backup, and the names of those that were `deleted`.

    Raises:
        DirectoryNotAllowed: if the settings do not allow the directory.
        ImproperlyConfigured: if it cannot work: a missing program, directory or database.
        BackupError: if it failed, for example because the disk is full; the job is tried again.
    """
    return backups.back_up(directory, keep, database, method)
