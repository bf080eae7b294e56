from __future__ import annotations

import gc
import select
import subprocess
import sys

import pytest

from offload.wakeup import Wakeup


def is_readable(wakeup: Wakeup) -> bool:
    poll = select.poll()
    poll.register(wakeup.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@pytest.fixture
def wakeup():
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


def test_a_notification_makes_the_descriptor_readable_until_it_is_cleared(wakeup):
    assert not is_readable(wakeup)
    wakeup.notify()
    assert is_readable(wakeup)
    wakeup.clear()
    assert not is_readable(wakeup)


def test_clearing_without_a_notification_does_not_block(wakeup):
    wakeup.clear()
    assert not is_readable(wakeup)


def test_any_number_of_notifications_neither_blocks_nor_outlives_one_clear(wakeup):
    for _ in range(100_000):
        wakeup.notify()
    wakeup.clear()
    assert not is_readable(wakeup)


def test_a_closed_wakeup_ignores_notifications():
    wakeup = Wakeup()
    wakeup.close()
    wakeup.notify()


def test_an_unused_wakeup_closes_without_a_resource_warning(recwarn):
    Wakeup()
    gc.collect()
    assert not recwarn.list


def test_a_wakeup_is_open_until_the_interpreter_has_exited():
    program = """
import atexit

@atexit.register  # the first callback runs last
def print_descriptor():
    print(wakeup.fileno())

from offload.wakeup import Wakeup

wakeup = Wakeup()
"""
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, check=True)
    assert int(done.stdout) > 0
    assert not done.stderr
