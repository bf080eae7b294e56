"""Settings of a project with users and a strict Content Security Policy."""

import os

from django.utils.csp import CSP

from tests.settings.sqlite import *
from tests.settings.sqlite import DATABASES, TASKS

DATABASES["default"]["NAME"] = os.environ["OFFLOAD_DATABASE_NAME"]
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.browser.project.urls"
ASGI_APPLICATION = "tests.browser.project.asgi.application"
STATIC_URL = "/static/"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "français"), ("ar", "العربيّة")]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_htmx",
    "offload",
    "tests.browser.project",
]
MIDDLEWARE = [
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "offload.middleware.OffloadMiddleware",
]
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "require-trusted-types-for": ["'script'"],
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    },
]
TASKS["default"]["OPTIONS"] |= {"lease": 1.5, "kill_grace_period": 0.5, "poll_interval": 0.2}
