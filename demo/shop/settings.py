"""The shop's settings: one SQLite file, one process."""

import os
from pathlib import Path

from django.utils.csp import CSP

DEMO = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("DEMO_VAR", DEMO / "var")).resolve()

SECRET_KEY = "a demo has no secrets"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "shop.urls"
ASGI_APPLICATION = "shop.asgi.application"

# The shop comes before offload so that its template of a job's page is used.
INSTALLED_APPS = [
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "shop",
    "offload",
]
TASKS = {
    "default": {
        "BACKEND": "offload.backends.database.DatabaseBackend",
        "QUEUES": ["default", "mail"],
    },
}

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "offload.middleware.OffloadMiddleware",
]
SECURE_CSP = {"default-src": [CSP.SELF]}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "shop.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Django 6.1 prefers MAILERS; these settings also work on Django 6.0.
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("DEMO_SMTP_PORT", "25"))
API_PORT = int(os.environ.get("DEMO_API_PORT", "80"))
DEFAULT_FROM_EMAIL = "The shop <shop@example.com>"

STATIC_URL = "static/"
MEDIA_URL = "media/"
MEDIA_ROOT = VAR / "media"
# On the same file system as MEDIA_ROOT an upload is moved into place, not copied.
FILE_UPLOAD_TEMP_DIR = VAR / "uploads"
FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True)
SAMPLES = VAR / "samples"
MAILBOX = VAR / "mailbox"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "Europe/Vienna"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "level": "WARNING"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # The page shows a visitor's mistakes and the lab shows retries, so neither is logged.
    "loggers": {"django.request": {"level": "ERROR"}, "offload.worker": {"level": "ERROR"}},
}
