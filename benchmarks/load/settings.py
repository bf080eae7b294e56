"""Settings of the project under load, from variables that `load.database.environment` sets."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

NAME = os.environ.get("LOAD_NAME", "offload_scale")
"""The database, created for one run and removed after it."""

SERVERS = {
    "postgresql": ("django.db.backends.postgresql", 54329, {}),
    "mariadb": (
        "django.db.backends.mysql",
        33069,
        {"charset": "utf8mb4", "isolation_level": "read committed"},
    ),
}


def database(kind: str) -> dict[str, Any]:
    """Return an entry of DATABASES, from the same variables as `scripts/services`."""
    if kind == "sqlite":
        name = str(Path(tempfile.gettempdir()) / f"{NAME}.sqlite3")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": name,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 5,
                "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
            },
            "TEST": {"NAME": name},
        }
    backend, port, options = SERVERS[kind]
    prefix = f"OFFLOAD_{kind.upper()}_"
    return {
        "ENGINE": backend,
        "NAME": NAME,
        "HOST": os.environ.get(f"{prefix}HOST", "127.0.0.1"),
        "PORT": int(os.environ.get(f"{prefix}PORT", port)),
        "USER": os.environ.get(f"{prefix}USER", "offload"),
        "PASSWORD": os.environ.get(f"{prefix}PASSWORD", "offload"),
        "OPTIONS": options,
        "TEST": {"NAME": NAME},
    }


SECRET_KEY = "only for benchmarks"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "load.urls"
INSTALLED_APPS = ["offload", "load"]
MIDDLEWARE: list[str] = []
DATABASES = {
    "default": {
        **database(os.environ.get("LOAD_DATABASE", "sqlite")),
        "CONN_MAX_AGE": json.loads(os.environ.get("LOAD_CONN_MAX_AGE", "0")),
        "ATOMIC_REQUESTS": "LOAD_ATOMIC_REQUESTS" in os.environ,
    }
}
TASKS = {
    "default": {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "QUEUES": json.loads(os.environ.get("LOAD_QUEUES", '["default", "bulk"]')),
        # No pruning during other measurements.
        "OPTIONS": {"keep_successful": None, **json.loads(os.environ.get("LOAD_OPTIONS", "{}"))},
    }
}
