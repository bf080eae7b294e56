"""Settings for all databases."""

import hashlib
import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Clones share the database servers, so each clone has database names of its own.
# `OFFLOAD_TEST_RUN` separates concurrent runs in one clone.
DATABASE = "_".join(
    ("offload", hashlib.sha256(bytes(ROOT)).hexdigest()[:6], os.environ.get("OFFLOAD_TEST_RUN", ""))
).rstrip("_")


def server(name: str, port: int) -> dict[str, str | int]:
    """Return the address of a database server, from the same variables as `scripts/services`."""
    prefix = f"OFFLOAD_{name.upper()}_"
    return {
        "HOST": os.environ.get(f"{prefix}HOST", "127.0.0.1"),
        "PORT": int(os.environ.get(f"{prefix}PORT", port)),
        "USER": os.environ.get(f"{prefix}USER", "offload"),
        "PASSWORD": os.environ.get(f"{prefix}PASSWORD", "offload"),
    }


def database_name(default: str) -> str:
    """Return the database name; a process that a test starts uses the test's database."""
    return os.environ.get("OFFLOAD_DATABASE_NAME", default)


SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "offload",
    "tests",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "offload.middleware.OffloadMiddleware",
]
ROOT_URLCONF = "tests.live.urls"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
STATIC_URL = "static/"
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True},
]

TASKS = {
    "default": {
        # Tests start processes with another backend than their own.
        "BACKEND": os.environ.get(
            "OFFLOAD_TEST_BACKEND", "offload.backends.database.DatabaseBackend"
        ),
        "QUEUES": ["default", "mail", "slow"],
        # Tests start workers with shorter leases and other options.
        "OPTIONS": {
            "backup_directories": ["/"],
            **json.loads(os.environ.get("OFFLOAD_TEST_OPTIONS", "{}")),
        },
    }
}
