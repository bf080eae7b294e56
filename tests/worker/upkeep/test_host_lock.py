"""File locks show which workers of this host are running."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from offload.uuid7 import new_id
from offload.worker.upkeep import host_lock as module
from offload.worker.upkeep.host_lock import HostLock
from tests.worker.conftest import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")


@pytest.fixture
def database() -> Iterator[str]:
    database = f"test:{uuid4()}"
    yield database
    folder = HostLock(database).folder
    assert folder is not None
    shutil.rmtree(folder)


@pytest.fixture
def host_lock(database: str) -> Iterator[HostLock]:
    host_lock = HostLock(database)
    yield host_lock
    host_lock.close()


@pytest.fixture
def worker(host_lock: HostLock) -> UUID:
    worker = new_id()
    host_lock.acquire(worker)
    return worker


def test_a_running_worker_has_not_exited(host_lock, worker, database):
    assert host_lock.exited_workers() == HostLock(database).exited_workers() == set()


def test_a_copy_of_the_process_does_not_hold_the_lock(host_lock, worker, database):
    copy = os.fork()
    if copy == 0:
        signal.pause()
    try:
        host_lock.close()
        until(lambda: host_lock.exited_workers() == {worker})  # once the copy has begun
    finally:
        os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)


def test_the_last_worker_removes_the_folder(host_lock, worker, database):
    other = HostLock(database)
    other.acquire(new_id())
    folder = other.folder
    assert folder is not None

    host_lock.release()
    assert folder.exists()
    other.release()
    assert not folder.exists()

    host_lock.acquire(worker)
    assert [path.name for path in folder.iterdir()] == [str(worker)]


def test_an_exited_worker_is_reported_until_it_is_forgotten(host_lock, worker, database):
    host_lock.close()

    other = HostLock(database)
    assert other.exited_workers() == {worker}
    other.forget(worker)
    assert other.exited_workers() == set()


def test_no_process_finds_the_exit_of_a_forgotten_worker(host_lock, worker, database, monkeypatch):
    """Not even one that has opened the file before."""
    other = HostLock(database)

    def open_and_pause(path: Path) -> FileIO:
        file = FileIO(path)
        other.forget(worker)
        host_lock.close()
        return file

    monkeypatch.setattr(module, "FileIO", open_and_pause)

    assert other.exited_workers() == set()


def test_a_killed_process_has_exited(host_lock, database):
    worker = new_id()
    code = (
        "import sys, uuid; from offload.worker.upkeep.host_lock import HostLock; "
        f"lock = HostLock({database!r}); lock.acquire(uuid.UUID({str(worker)!r})); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert host_lock.exited_workers() == set()
        process.kill()
    assert host_lock.exited_workers() == {worker}


def test_the_unlocked_file_of_a_killed_process_is_removed(host_lock, worker, database):
    folder = host_lock.folder
    assert folder is not None
    code = (
        "import uuid; from offload.worker.upkeep.host_lock import HostLock; "
        f"HostLock({database!r}).acquire(uuid.uuid4())"
    )
    environment = os.environ | {"OFFLOAD_FAILPOINT": "host_lock.creating:kill"}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (unlocked,) = (path for path in folder.iterdir() if path.name != str(worker))

    assert host_lock.exited_workers() == set()
    assert unlocked.exists()  # another process may be about to lock it
    os.utime(unlocked, (0, 0))
    assert host_lock.exited_workers() == set()
    assert [path.name for path in folder.iterdir()] == [str(worker)]


def test_a_worker_that_released_its_lock_is_not_reported(host_lock, worker, database):
    host_lock.release()

    assert HostLock(database).exited_workers() == set()


def test_a_worker_with_a_new_id_has_released_the_old_one(host_lock, worker, database):
    host_lock.acquire(new_id())

    assert HostLock(database).exited_workers() == set()


def test_workers_of_another_database_are_not_reported(host_lock, worker):
    host_lock.close()

    assert HostLock("another").exited_workers() == set()


def test_a_folder_that_others_may_write_to_is_not_used(database, host_lock, caplog):
    assert host_lock.folder is not None
    host_lock.folder.chmod(0o777)
    assert HostLock(database).folder is None
    assert f"{host_lock.folder} is writable for other users" in caplog.text
    host_lock.folder.chmod(0o700)


def test_without_shared_memory_no_worker_is_reported(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(module, "SHARED_MEMORY", str(tmp_path))  # on a disk

    lock = HostLock("any")
    lock.acquire(new_id())
    lock.close()

    assert lock.exited_workers() == set()
    assert not list(tmp_path.iterdir())
