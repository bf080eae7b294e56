"""What the settings of all databases share."""

import hashlib
import json
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Clones share the database servers, so each clone has names of its own. `OFFLOAD_TEST_RUN` keeps
# two runs apart that happen at the same time in one clone.
DATABASE = "_".join(
    ("offload", hashlib.sha256(bytes(ROOT)).hexdigest()[:6], os.environ.get("OFFLOAD_TEST_RUN", ""))
).rstrip("_")


def server(name: str, port: int) -> dict[str, str | int]:
    """Return where a database server is, as `scripts/services` understands it too."""
    prefix = f"OFFLOAD_{name.upper()}_"
    return {
        "HOST": os.environ.get(f"{prefix}HOST", "127.0.0.1"),
        "PORT": int(os.environ.get(f"{prefix}PORT", port)),
        "USER": os.environ.get(f"{prefix}USER", "offload"),
        "PASSWORD": os.environ.get(f"{prefix}PASSWORD", "offload"),
    }


def database_name(default: str) -> str:
    """Return the database; a process that a test starts is given the test's own."""
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
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "QUEUES": ["default", "mail", "slow"],
        # A worker that a test starts is given shorter leases and the like.
        "OPTIONS": json.loads(os.environ.get("OFFLOAD_TEST_OPTIONS", "{}")),
    }
}
