import pytest

from tests.testing import tasks


@pytest.fixture(autouse=True)
def _clear_calls() -> None:
    tasks.calls.clear()
