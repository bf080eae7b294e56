"""The store of the default database, and the id of a worker."""

from __future__ import annotations

import pytest

from offload.store import get_store
from offload.store.base import Store
from tests.jobs import register_worker


@pytest.fixture
def store() -> Store:
    return get_store("default")


@pytest.fixture
def worker(store: Store) -> str:
    return register_worker()
