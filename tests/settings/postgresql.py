"""PostgreSQL, as `scripts/services` starts it."""

from typing import Any

from tests.settings.base import *
from tests.settings.base import DATABASE, database_name, server

DATABASES: dict[str, Any] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name(DATABASE),
        **server("postgresql", port=54329),
        # Tests kill clients, never the server: nothing is lost by not waiting for the disk.
        "OPTIONS": {"options": "-c synchronous_commit=off"},
    }
}
