"""A minimal Django project for the backends of django.tasks."""

import os
from typing import Any

PEER = os.environ["BENCH_PEER"]
STORE = os.environ["BENCH_STORE"]

BACKENDS = {
    "offload": ("offload", "offload.backends.database.DatabaseBackend"),
    "django-tasks-db": ("django_tasks_db", "django_tasks_db.DatabaseBackend"),
    "django-ox": ("django_ox", "django_ox.backend.OxBackend"),
    "dj-queue": ("dj_queue", "dj_queue.backend.DjQueueBackend"),
    # These have no backend: only their jobs use the project.
    "pgqueuer": ("django.contrib.auth", "django.tasks.backends.dummy.DummyBackend"),
    "celery-django": ("django_celery_results", "django.tasks.backends.dummy.DummyBackend"),
}
APP, BACKEND = BACKENDS[PEER]

SECRET_KEY = "only for benchmarks"
USE_TZ = True
DEBUG = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", APP, "project"]
TASKS: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": os.environ.get("BENCH_BACKEND", BACKEND)}
}
if PEER == "dj-queue":  # two processes, as the others have, and schedules of seconds
    TASKS["default"]["OPTIONS"] = {
        "workers": [{"queues": "*", "threads": 3, "processes": 2, "polling_interval": 0.1}],
        "scheduler": {"dynamic_tasks_enabled": True, "polling_interval": 1},
    }

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

QUEUE = "offload-bench"
"""Beside those of other users of the broker."""
CELERY_BROKER_URL = os.environ.get("BENCH_URL")
if "BENCH_RESULTS" in os.environ:  # plain Celery
    CELERY_TASK_DEFAULT_QUEUE = QUEUE
if "BENCH_BACKEND" in os.environ:
    TASKS["default"]["OPTIONS"] = {"celery_queue_prefix": f"{QUEUE}-"}
RESULTS = os.environ.get("BENCH_RESULTS")
CELERY_RESULT_BACKEND = os.environ.get("BENCH_RESULTS_URL") if RESULTS == "redis" else RESULTS
