"""Settings for the PostgreSQL server of `scripts/services`."""

import json
import os
from typing import Any

from tests.settings.base import *
from tests.settings.base import DATABASE, database_name, server

DATABASES: dict[str, Any] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name(DATABASE),
        **server("postgresql", port=54329),
        # Nearly all tests kill only clients, so commits need not wait for the disk.
        "OPTIONS": {
            "options": "-c synchronous_commit="
            + os.environ.get("OFFLOAD_TEST_SYNCHRONOUS_COMMIT", "off"),
            "pool": json.loads(os.environ.get("OFFLOAD_TEST_POOL", "null")),
        },
    }
}
