"""Settings for SQLite in a file, which other processes can open during a test."""

import os
import tempfile
from pathlib import Path
from typing import Any

from tests.settings.base import *
from tests.settings.base import DATABASE, database_name

_FILE = Path(tempfile.gettempdir()) / f"{DATABASE}.sqlite3"

DATABASES: dict[str, Any] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": database_name(str(_FILE)),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": float(os.environ.get("OFFLOAD_TEST_SQLITE_TIMEOUT", "5")),
            "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
        },
        "TEST": {"NAME": str(_FILE.with_stem(f"test_{DATABASE}"))},
    }
}
