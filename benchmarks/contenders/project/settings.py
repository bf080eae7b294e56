"""A minimal Django project for the backends of django.tasks."""

import os

PEER = os.environ["BENCH_PEER"]
STORE = os.environ["BENCH_STORE"]

BACKENDS = {
    "offload": ("offload", "offload.backends.database.DatabaseBackend"),
    "django-tasks-db": ("django_tasks_db", "django_tasks_db.DatabaseBackend"),
    "django-ox": ("django_ox", "django_ox.backend.OxBackend"),
}
APP, BACKEND = BACKENDS[PEER]

SECRET_KEY = "only for benchmarks"
USE_TZ = True
DEBUG = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", APP, "project"]
TASKS = {"default": {"BACKEND": BACKEND}}

ENGINES = {
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
            "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;",
        },
    },
    "postgresql": {"ENGINE": "django.db.backends.postgresql"},
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "OPTIONS": {"charset": "utf8mb4", "isolation_level": "read committed"},
    },
}
DATABASES = {
    "default": {
        **ENGINES[STORE],
        "NAME": os.environ["BENCH_DATABASE"],
        "HOST": os.environ.get("BENCH_HOST", ""),
        "PORT": os.environ.get("BENCH_PORT", ""),
        "USER": os.environ.get("BENCH_USER", ""),
        "PASSWORD": os.environ.get("BENCH_PASSWORD", ""),
        # A new connection for each job would take most of the time.
        "CONN_MAX_AGE": None,
    }
}
