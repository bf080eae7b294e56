"""The files of backups: names, modes, rotation, and what is said if one cannot be made."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from offload import InvalidSchedule, schedules
from offload.conf import BackendOptions
from offload.maintenance import (
    BackupError,
    DirectoryNotAllowed,
    back_up,
    dump_programs,
    run_command,
)
from offload.maintenance.backup_folder import BackupFolder
from offload.maintenance.sqlite_copy import copy_sqlite
from tests.maintenance.restoring import query

BACKEND = "offload.backends.database.DatabaseBackend"
pytestmark = pytest.mark.django_db(transaction=True)
of_a_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="it needs no program")
of_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's file")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "mysite"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def older(path: Path, days: int) -> Path:
    """Return the name of a backup that is older by some days."""
    stamp = f"{timezone.now() - timedelta(days=days):%Y%m%dT%H%M%SZ}"
    start, _, rest = path.name.rpartition("-")
    return path.with_name(f"{start}-{stamp}.{rest.partition('.')[2]}")


def test_a_backup_is_private_and_alone(folder: Path) -> None:
    made = back_up.call(str(folder))

    path = Path(made["path"])
    assert names(folder) == [path.name]
    assert made["bytes"] == path.stat().st_size > 1_000
    assert made["deleted"] == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_only_the_oldest_own_files_are_deleted(folder: Path) -> None:
    path = Path(back_up.call(str(folder))["path"])
    own = [older(path, days) for days in (1, 2, 3)]
    foreign = [
        folder / "notes.txt",
        older(path, 9).with_suffix(".bak"),
        folder / f"other-{path.name.partition('-')[2]}",
        folder / f"copy-of-{path.name}",
    ]
    for file in (*own, *foreign):
        file.write_text("x")

    made = back_up.call(str(folder), keep=3)

    assert made["deleted"] == [own[2].name, own[1].name]
    left = {path, own[0], Path(made["path"]), *foreign}
    assert set(names(folder)) == {file.name for file in left}


def test_two_backups_within_a_second_get_two_names(folder: Path) -> None:
    first, second = (back_up.call(str(folder))["path"] for _ in range(2))

    assert first < second


def test_the_new_backup_is_kept_although_a_clock_was_wrong(folder: Path) -> None:
    future = older(Path(back_up.call(str(folder))["path"]), -900)
    future.write_text("x")

    made = back_up.call(str(folder), keep=1)

    assert names(folder) == [Path(made["path"]).name]


def test_a_failed_backup_deletes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(back_up.call(str(folder))["path"])

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BackupError, match=r"No space left on device. [0-9,]+ MiB are free. Delete"):
        back_up.call(str(folder), keep=1)

    assert names(folder) == [path.name]


def test_what_a_killed_process_has_left_is_deleted_unless_it_is_still_written(folder: Path) -> None:
    path = Path(back_up.call(str(folder))["path"])
    dead, alive = (path.with_name(f".{path.name}.{n * 8}.partial") for n in "ab")
    for file in (dead, alive, dead.with_name(f"{dead.name}-journal")):
        file.write_text("half")
    with alive.open() as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        back_up.call(str(folder), keep=1)

        assert names(folder)[:1] == [alive.name]
        assert len(names(folder)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backups",), "must be an absolute path, not 'backups'"),
        (("/b", 0), "keep must be a whole number of at least 1, not 0"),
        (("/b", True), "keep must be .*, not True"),
        (("/b", 1, "defualt"), "DATABASES has no 'defualt'. Did you mean 'default'"),
        (("/b", 1, "default", "copy"), "method must be .*, not 'copy'"),
        (("/proc/b",), "/proc/b, cannot be created: No such|Let the user of the worker write"),
        ((__file__,), r"test_backups.py, cannot be created: File exists \(.*Choose a directory"),
        ((f"{__file__}/backups",), "cannot be created: Not a directory"),
        (("/tmp/" + "b" * 300,), "cannot be created: File name too long"),
    ],
)
def test_bad_arguments_are_named_and_not_tried_again(arguments: Any, message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        back_up.call(*arguments)


def test_no_backup_is_made_where_web_servers_publish_files(tmp_path: Path) -> None:
    with (
        override_settings(MEDIA_ROOT=str(tmp_path)),
        pytest.raises(ImproperlyConfigured, match="is in MEDIA_ROOT, which web servers publish"),
    ):
        back_up.call(str(tmp_path / "backups"))


def allowing(*directories: Path | str) -> Any:
    options = {"backup_directories": list(directories)}
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}})


def test_backups_are_made_only_in_directories_that_the_settings_name(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "link").symlink_to(tmp_path)
    with allowing(tmp_path / "good"):
        back_up.call(str(tmp_path / "good"))
        back_up.call(str(tmp_path / "good" / "mysite"))
        for path in ("bad", "good/../bad", "good-too", "good/link/bad"):
            with pytest.raises(DirectoryNotAllowed, match="may not write backups into the direct"):
                back_up.call(str(tmp_path / path))

    assert names(tmp_path) == ["good"]


def test_the_error_of_a_directory_names_the_setting_to_change() -> None:
    with allowing("/srv/backups"), pytest.raises(DirectoryNotAllowed) as caught:
        back_up.call("/srv/other")

    assert "[\"backup_directories\"] = ['/srv/backups', '/srv/other']" in str(caught.value)


@pytest.mark.parametrize("value", ["/srv/backups", ["backups"], [1], None])
def test_the_setting_is_a_list_of_absolute_paths(value: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="must be a list of absolute paths"):
        BackendOptions.parse({"backup_directories": value})


def test_operators_cannot_schedule_what_the_settings_do_not_allow() -> None:
    with allowing("/srv/backups"):
        with pytest.raises(InvalidSchedule, match="directory: Jobs may not write backups"):
            schedules.create("copy", back_up, "@daily", args=["/srv/www"])
        with pytest.raises(InvalidSchedule, match="name: Jobs may not run the command 'shell'"):
            schedules.create("shell", run_command, "@daily", args=["shell", "-c", "print()"])
        assert schedules.create("backup", back_up, "@daily", args=["/srv/backups"])


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB, which only root can mount."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path]
    if os.getuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_full_disk_is_an_error_that_says_what_to_do(full_disk: Path) -> None:
    (full_disk / "other").write_bytes(b"x" * 64 * 1024)
    with pytest.raises(BackupError, match=r"(full|space).* Delete files, choose .* lower keep"):
        back_up.call(str(full_disk))

    assert names(full_disk) == ["other"]


@of_a_server
def test_a_missing_program_is_an_error_that_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(ImproperlyConfigured, match=r'Install it.*method="dumpdata"'):
        back_up.call(str(folder))

    assert names(folder) == []


@of_a_server
def test_a_wrong_password_is_an_error_without_the_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "s3cr3t-word")
    with pytest.raises(BackupError, match=r"could not back up .*exit code") as caught:
        back_up.call(str(folder))

    assert "s3cr3t-word" not in str(caught.value)
    assert names(folder) == []


@of_a_server
def test_the_password_is_in_no_command_line_and_in_no_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "pg_dump" if connection.vendor == "postgresql" else "mariadb-dump"
    seen = tmp_path / "seen"
    script = tmp_path / "bin" / program
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$0 $@" > {seen}\necho "refused $PGPASSWORD$MYSQL_PWD" >&2\nexit 7\n'
    )
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "s3cr3t-word")
    with pytest.raises(BackupError, match=r"\(exit code 7\): refused \*\*\*"):
        back_up.call(str(folder))

    assert "s3cr3t-word" not in seen.read_text()


@of_a_server
def test_an_interrupted_backup_ends_its_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Stopped(BaseException):
        pass

    popen = subprocess.Popen

    def start(*args: Any, **options: Any) -> Any:
        started.append(popen(["sleep", "600"], **options))
        return started[0]

    def interrupt(*_args: Any) -> None:
        raise Stopped  # as a timeout does, between two lines of Python

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(dump_programs, "_wait", interrupt)
    monkeypatch.setattr(dump_programs, "_chunks", interrupt)
    with pytest.raises(Stopped):
        back_up.call(str(folder))

    assert started[0].returncode == -9
    assert names(folder) == []


@of_sqlite
def test_a_copy_of_sqlite_is_one_file_that_can_be_opened(folder: Path) -> None:
    path = back_up.call(str(folder))["path"]

    assert query(path, "SELECT COUNT(*) FROM offload_job") == [(0,)]
    connection.ensure_connection()
    assert len(names(folder)) == 1


@of_sqlite
def test_a_damaged_file_is_no_backup(tmp_path: Path) -> None:
    name = tmp_path / "damaged.sqlite3"
    raw = sqlite3.connect(name)
    raw.execute("CREATE TABLE t (x)")
    raw.executemany("INSERT INTO t VALUES (?)", [["x" * 900]] * 200)
    raw.commit()
    raw.close()
    with name.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)

    class Damaged:
        alias, vendor = "default", "sqlite"
        settings_dict = {"NAME": str(name)}

        def is_in_memory_db(self) -> bool:
            return False

    with pytest.raises(BackupError, match=r"is damaged|malformed"):
        copy_sqlite(Damaged(), -1, tmp_path / "copy")


def test_databases_may_share_a_directory(folder: Path) -> None:
    class Other:
        vendor, alias = connection.vendor, "other"
        settings_dict = {**connection.settings_dict, "NAME": "/srv/other/db.sqlite3"}

        def is_in_memory_db(self) -> bool:
            return False

    mine, other = BackupFolder(str(folder), connection), BackupFolder(str(folder), Other())
    path = Path(back_up.call(str(folder))["path"])

    assert other.delete_oldest(1, newest=Path("/none")) == []
    assert mine.delete_oldest(1, newest=path) == []
