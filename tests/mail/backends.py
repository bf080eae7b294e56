"""Mailers as a project would write them."""

from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SmtpBackend

from offload.mail import EmailBackend


class QueueInMail(EmailBackend):
    """A mailer that sets its options in a subclass."""

    queue_name = "mail"
    mailer = "smtp"


class Provider(BaseEmailBackend):
    """The mailer of an email provider with its own API, which may raise `error`."""

    error: BaseException | None = None
    sent: list[object] = []

    def send_messages(self, email_messages):
        if self.error is not None:
            raise self.error
        self.sent.extend(email_messages)
        return len(email_messages)


class ProviderIsBusy(OSError):
    """An OSError that is no connection error, like the exceptions of `requests`."""


class RetriesProviderErrors(EmailBackend):
    """A mailer that retries after a temporary error of the provider."""

    mailer = "provider"
    email_backend = f"{__name__}.Provider"

    def is_temporary(self, error: Exception) -> bool:
        return isinstance(error, ProviderIsBusy) or super().is_temporary(error)


class FailsAfterSending(SmtpBackend):
    """A mailer that raises an error after the message was sent."""

    def _send(self, email_message):
        super()._send(email_message)
        raise ConnectionResetError("the connection to the statistics")
