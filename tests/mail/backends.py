"""Mailers as projects write them."""

from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from offload.mail import EmailBackend


class QueueInMail(EmailBackend):
    """Options as a subclass has them."""

    queue_name = "mail"
    mailer = "smtp"


class Provider(BaseEmailBackend):
    """The mailer of a provider that is not reached by SMTP and answers with `error`."""

    error: BaseException | None = None
    sent: list[object] = []

    def send_messages(self, email_messages):
        if self.error is not None:
            raise self.error
        self.sent.extend(email_messages)
        return len(email_messages)


class ProviderIsBusy(OSError):
    """As the exceptions of `requests`, an OSError that says nothing about the connection."""


class PatientWithProvider(EmailBackend):
    """Tries again what the provider calls temporary."""

    mailer = "provider"
    email_backend = f"{__name__}.Provider"

    def is_temporary(self, error: Exception) -> bool:
        return isinstance(error, ProviderIsBusy) or super().is_temporary(error)


class StumblesAfterwards(SmtpBackend):
    """Fails when the message is sent already."""

    def _send(self, email_message):
        super()._send(email_message)
        raise ConnectionResetError("the connection to the statistics")
