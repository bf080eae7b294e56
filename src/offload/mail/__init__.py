"""Email sent in the background: a mailer that enqueues messages for another mailer.

    MAILERS = {
        "default": {"BACKEND": "offload.mail.EmailBackend", "OPTIONS": {"mailer": "smtp"}},
        "smtp": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": {...}},
    }

On Django 6.0, which has no MAILERS: `EMAIL_BACKEND = "offload.mail.EmailBackend"`.
"""

from offload.mail.backend import EmailBackend
from offload.mail.delivery import MaybeSent, TemporaryFailure
from offload.mail.tasks import send_message

__all__ = ["EmailBackend", "MaybeSent", "TemporaryFailure", "send_message"]
