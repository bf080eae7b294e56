"""The Django project of a run."""

import os

SECRET_KEY = "only for benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "offload", "kill_runs"]
TASKS = {
    "default": {
        "BACKEND": "offload.backends.celery.CeleryBackend",
        "OPTIONS": {"celery_queue_prefix": "jobs-"},
    }
}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["BENCH_DATABASE"],
        "HOST": os.environ["BENCH_HOST"],
        "PORT": os.environ["BENCH_PORT"],
        "USER": os.environ["BENCH_USER"],
        "PASSWORD": os.environ["BENCH_PASSWORD"],
    }
}
CELERY_BROKER_URL = os.environ["BENCH_URL"]
