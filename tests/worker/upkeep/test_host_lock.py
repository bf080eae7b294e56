"""Who is there and who is gone, as the kernel tells it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from offload.uuid7 import new_id
from offload.worker.upkeep import host_lock as module
from offload.worker.upkeep.host_lock import HostLock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")


@pytest.fixture
def database() -> Iterator[str]:
    database = f"test:{uuid4()}"
    yield database
    folder = HostLock(database)._folder
    assert folder is not None
    shutil.rmtree(folder)


@pytest.fixture
def engine(database: str) -> Iterator[HostLock]:
    engine = HostLock(database)
    yield engine
    engine.close()


@pytest.fixture
def worker(engine: HostLock) -> UUID:
    worker = new_id()
    engine.enter(worker)
    return worker


def test_an_engine_that_is_there_is_not_gone(engine, worker, database):
    assert engine.gone() == HostLock(database).gone() == set()


def test_who_leaves_last_leaves_nothing_behind(engine, worker, database):
    other = HostLock(database)
    other.enter(new_id())
    folder = other._folder
    assert folder is not None

    engine.leave()
    assert folder.exists()
    other.leave()
    assert not folder.exists()

    engine.enter(worker)
    assert [path.name for path in folder.iterdir()] == [str(worker)]


def test_an_engine_that_ended_is_gone_until_it_is_forgotten(engine, worker, database):
    engine.close()

    other = HostLock(database)
    assert other.gone() == {worker}
    other.forget(worker)
    assert other.gone() == set()


def test_a_killed_process_is_gone(engine, database):
    worker = new_id()
    code = (
        "import sys, uuid; from offload.worker.upkeep.host_lock import HostLock; "
        f"presence = HostLock({database!r}); presence.enter(uuid.UUID({str(worker)!r})); "
        "print('there', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert engine.gone() == set()
        process.kill()
    assert engine.gone() == {worker}


def test_what_is_left_of_a_process_killed_as_it_entered_is_removed(engine, worker, database):
    folder = engine._folder
    assert folder is not None
    code = (
        "import uuid; from offload.worker.upkeep.host_lock import HostLock; "
        f"HostLock({database!r}).enter(uuid.uuid4())"
    )
    environment = os.environ | {"OFFLOAD_FAILPOINT": "host_lock.creating:kill"}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = (path for path in folder.iterdir() if path.name != str(worker))

    assert engine.gone() == set()
    assert left.exists()  # one that enters just now looks the same
    os.utime(left, (0, 0))
    assert engine.gone() == set()
    assert [path.name for path in folder.iterdir()] == [str(worker)]


def test_an_engine_that_left_is_not_gone(engine, worker, database):
    engine.leave()

    assert HostLock(database).gone() == set()


def test_an_engine_that_goes_on_under_another_id_left_the_old_one(engine, worker, database):
    engine.enter(new_id())

    assert HostLock(database).gone() == set()


def test_engines_of_another_database_are_not_seen(engine, worker):
    engine.close()

    assert HostLock("another").gone() == set()


def test_a_folder_that_others_may_write_to_is_not_trusted(database, engine):
    assert engine._folder is not None
    engine._folder.chmod(0o777)
    assert HostLock(database)._folder is None
    engine._folder.chmod(0o700)


def test_without_shared_memory_nothing_is_known(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(module, "SHARED_MEMORY", str(tmp_path))  # on a disk

    presence = HostLock("any")
    presence.enter(new_id())
    presence.close()

    assert presence.gone() == set()
    assert not list(tmp_path.iterdir())
