"""What all tests share."""

import os

import pytest
from django.db import connection


@pytest.fixture
def process_environment() -> dict[str, str]:
    """The environment in which another process opens the database of this test."""
    return {**os.environ, "OFFLOAD_DATABASE_NAME": str(connection.settings_dict["NAME"])}
