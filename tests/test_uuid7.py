"""Ids sort by the time of creation."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from offload import uuid7 as ids
from offload.models import Job
from offload.reserved_ids import reserve_id
from offload.uuid7 import created_at, derive_id, new_id
from tests.tasks import add


def test_an_id_is_a_uuid7_with_its_time_of_creation():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    identifier = new_id()

    assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")
    assert before <= created_at(identifier) <= datetime.now(UTC) + timedelta(seconds=1)


def test_ids_grow_strictly():
    made = [new_id() for _ in range(20_000)]

    assert sorted(made) == made
    assert len(set(made)) == len(made)
    assert [str(identifier) for identifier in made] == sorted(map(str, made))


def test_ids_are_unique_across_threads():
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: [new_id() for _ in range(1000)], range(8)))

    assert len({identifier for part in made for identifier in part}) == 8000


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=365)])
def test_ids_grow_although_the_clock_steps_back(monkeypatch, ahead):
    future = int((datetime.now(UTC) + ahead).timestamp() * 1000) << 12
    monkeypatch.setattr(ids, "_last", future)

    first, second = new_id(), new_id()

    assert first < second
    assert first.version == second.version == 7
    assert created_at(first) > datetime.now(UTC) + ahead - timedelta(minutes=1)


def test_the_counter_overflows_into_the_time(monkeypatch):
    full = (int(datetime.now(UTC).timestamp() * 1000) + 60_000) << 12 | 0xFFF
    monkeypatch.setattr(ids, "_last", full)

    identifier = new_id()

    assert identifier.version == 7
    assert identifier.int >> 80 == (full >> 12) + 1


@pytest.mark.parametrize(
    "identifier",
    [uuid4(), UUID(int=0), UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")],
    ids=["4", "nil", "largest"],
)
def test_other_uuids_have_no_time_of_creation(identifier):
    with pytest.raises(ValueError, match=r"is not a UUIDv7|out of range"):
        created_at(identifier)


@pytest.mark.parametrize("suffix", ["", ".12"])
def test_an_id_derived_from_the_key_of_a_page_has_its_time(suffix):
    key = "01a21528-2346-7000-a6cf-85a3b6428b27"
    identifier = derive_id(key + suffix, bytes(range(32)))

    assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")
    assert created_at(identifier) == created_at(UUID(key))
    assert identifier != derive_id(key, bytes(32))


@pytest.mark.parametrize(
    "key",
    [
        str(UUID(int=1 << 120, version=4)),
        "order-42",
        "",
        "00000000-0001-7000-8000-000000000000",
    ],
    ids=["4", "text", "empty", "1970"],
)
def test_an_id_derived_from_any_other_key_has_no_time_and_sorts_before_all_that_have(key):
    identifier = derive_id(key, bytes(range(32)))

    assert (identifier.version, identifier.variant) == (8, "specified in RFC 4122")
    assert identifier == derive_id(key, bytes(range(32)))
    assert identifier.hex[:8] != derive_id(key, bytes(range(1, 33))).hex[:8]
    assert identifier < UUID("01941f29-7c00-7000-8000-000000000000")
    with pytest.raises(ValueError, match="is not a UUIDv7"):
        created_at(identifier)


def test_a_process_forked_while_another_thread_makes_an_id_makes_ids_too():
    with ids._lock:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(5)
            new_id()
            os._exit(0)

    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("first", range(4))
def test_every_database_stores_an_id_without_a_time(first):
    """MariaDB refuses some UUIDs of version 8, about one in 64."""
    job = derive_id("order-42", bytes([0, 0, first, *range(29)]))

    with reserve_id(job):
        result = add.enqueue(1)

    assert Job.objects.get(pk=result.id).pk == job
