"""A fork server that hangs is killed and replaced, and holds up nobody until then."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from django.db import connection

from tests.crash.processes import Process
from tests.waiting import happens_within
from tests.worker.child.projects import SETTINGS, environment, project, run

pytestmark = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="this project has a database of its own"
)

KILL_GRACE_PERIOD = 2.0
SHOP_SETTINGS = f"""{SETTINGS}
INSTALLED_APPS += ["shop"]
TASKS["default"]["OPTIONS"] = {{
    "lease": 3.0, "kill_grace_period": {KILL_GRACE_PERIOD}
}}
import os, threading
from pathlib import Path
def hang_if(name):
    while Path(name).exists():
        threading.Event().wait(0.05)
os.register_at_fork(before=lambda: hang_if("hang-fork"))
"""
TASKS = """
import os, signal, sys
import offload
from shop_settings import hang_if
if "-c" in sys.orig_argv and "offload_worker" in sys.argv:
    hang_if("hang-import")
@offload.task
def look():
    with open("seen", "a") as seen:
        print("yes", file=seen)
@offload.task(at_most_once=True)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""
MAIN = """
import offload.worker.pools.forked_process, offload.worker.pools.server_process
offload.worker.pools.forked_process.FORK_TIMEOUT = 5.0
offload.worker.pools.server_process.SLOW_LOAD = 0.5
"""


class Shop:
    """A project in a folder, and its worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shop").mkdir()
        project(folder, MAIN, **{"shop_settings": SHOP_SETTINGS, "shop/tasks": TASKS})
        self._environment = environment(DJANGO_SETTINGS_MODULE="shop_settings")
        command = ["app.py", "offload_worker", "--processes", "2", "--threads", "1"]
        self.worker = Process(command, self._environment, folder / "log", cwd=folder)

    def enqueue(self, code: str) -> None:
        shell = run(
            self.folder, "shell", "-c", f"from shop.tasks import *; {code}", **self._environment
        )
        assert shell.returncode == 0, shell.stderr

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=10)) as database:
            return database.execute(sql).fetchall()

    def wait_for_jobs(self, count: int) -> None:
        """Wait until as many jobs have finished."""
        finished = "SELECT count(*) FROM offload_job WHERE finished_at IS NOT NULL"
        self._wait_for(lambda: self.query(finished) == [(count,)])

    def wait_for_heartbeats(self) -> None:
        heartbeat = "SELECT heartbeat_at FROM offload_worker"
        seen = {self.query(heartbeat)[0]}
        self._wait_for(lambda: seen.add(self.query(heartbeat)[0]) or len(seen) == 3)

    def wait_for_line(self, text: str) -> None:
        self._wait_for(lambda: text in self.output)

    @property
    def output(self) -> str:
        return (self.folder / "log").read_text()

    def _wait_for(self, condition: Callable[[], object]) -> None:
        assert happens_within(20.0, condition), self.output


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    yield shop
    shop.worker.kill()


def test_a_fork_server_that_hangs_is_replaced_and_holds_up_nobody_until_then(shop):
    shop.enqueue("look.enqueue()")
    shop.wait_for_jobs(1)

    (shop.folder / "hang-fork").touch()
    shop.enqueue("die.enqueue(); [look.enqueue() for _ in range(3)]")
    shop.wait_for_jobs(5)
    shop.wait_for_heartbeats()
    assert "did not answer" not in shop.output

    (shop.folder / "hang-import").touch()
    shop.wait_for_line("(TimeoutError: the fork server did not answer for 5 s; killed it)")
    shop.wait_for_line("has been loading the project for 0.5 s")
    shop.wait_for_heartbeats()
    (shop.folder / "hang-fork").unlink()
    (shop.folder / "hang-import").unlink()
    shop.enqueue("look.enqueue()")
    shop.wait_for_jobs(6)

    (shop.folder / "hang-import").touch()
    psutil.Process(shop.worker.fork_server().pid).kill()
    shop.wait_for_line("exit code -9), and loads the project again")
    started = time.monotonic()
    shop.worker.send(signal.SIGTERM)
    assert shop.worker.wait() == 0
    assert time.monotonic() - started < KILL_GRACE_PERIOD
