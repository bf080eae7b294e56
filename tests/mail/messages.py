"""Messages of every kind that Django can send, and classes that build their own."""

import email.policy
from email.message import EmailMessage as MimeMessage
from email.message import MIMEPart
from typing import Any

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.translation import gettext_lazy

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
SENDER = "Shop <shop@example.com>"
TO = ["ann@example.org"]


def simple() -> EmailMessage:
    return EmailMessage("Hello", "How are you?", SENDER, TO)


def lazy() -> EmailMessage:
    return EmailMessage(gettext_lazy("Hello"), gettext_lazy("Yes"), SENDER, TO)


def all_address_fields() -> EmailMessage:
    return EmailMessage(
        "Hello",
        "",
        '"Müller, Zoë" <zoe@exämple.com>',
        ["Jürgen <ju@bücher.example>", "b@example.org"],
        cc=["c@example.org"],
        bcc=["secret@example.org"],
        reply_to=["answers@example.org", "Ö <oe@example.org>"],
    )


def headers() -> EmailMessage:
    return EmailMessage(
        "A subject that is long enough to be folded " * 5,
        "x",
        SENDER,
        TO,
        headers={
            "X-Ümlaut".replace("Ü", "U"): "ümlaut " * 20,
            "List-Unsubscribe": f"<https://example.com/{'u' * 120}>",
            "From": "Somebody Else <else@example.com>",
            "To": "a list <list@example.com>",
            "message-id": "<mine@example.com>",
        },
    )


def difficult_text() -> EmailMessage:
    body = "From the start\r\n.\n..\nGröße " + "x" * 2000 + "\n\n\ttab \u2028 \N{PILE OF POO}\0 end"
    return EmailMessage("Größe \N{PILE OF POO}", body, SENDER, TO)


def latin() -> EmailMessage:
    message = EmailMessage("Straße", "<b>Größe</b>", SENDER, TO)
    message.content_subtype = "html"
    message.encoding = "iso-8859-1"
    return message


def alternatives() -> EmailMultiAlternatives:
    message = EmailMultiAlternatives("Hello", "plain", SENDER, TO)
    message.attach_alternative("<p>Größe</p>", "text/html")
    message.attach_alternative(b"\0\1", "application/octet-stream")
    return message


def attachments() -> EmailMultiAlternatives:
    message = alternatives()
    message.attach("every\0byte.bin", bytes(range(256)), "application/octet-stream")
    message.attach("ein langer, schöner Name " * 4 + ".png", PNG)
    message.attach("a.txt", "Größe\r\nNUL \0\n", "text/plain")
    message.attach("latin.txt", "Größe".encode("iso-8859-1"), "text/plain")
    message.attach(None, "a,b\n", "text/csv")
    message.attachments.append(("old.pdf", memoryview(b"%PDF"), "application/pdf"))
    return message


def inline_image() -> EmailMultiAlternatives:
    part = MIMEPart()
    part.set_content(
        PNG, maintype="image", subtype="png", disposition="inline", cid="<i@x>", filename="ü.png"
    )
    message = alternatives()
    message.attach(part)
    return message


def related() -> EmailMessage:
    part = MIMEPart()
    part.set_content("<p>Größe <img src='cid:i@x'></p>", subtype="html")
    part.make_related()
    part.add_related(PNG, maintype="image", subtype="png", cid="<i@x>")
    return EmailMessage("Hello", "", SENDER, TO, attachments=[part])


def forwarded() -> EmailMessage:
    inner = attachments()
    inner.extra_headers = {"Date": "Thu, 20 Nov 2025 12:00:00 +0000", "Message-ID": "<i@x>"}
    message = simple()
    message.attach("one.eml", inner, "message/rfc822")
    message.attach("two.eml", inner.message(), "message/rfc822")
    message.attach("three.eml", simple().message().as_bytes(), "message/rfc822")
    return message


ALL = [
    simple,
    lazy,
    all_address_fields,
    headers,
    difficult_text,
    latin,
    alternatives,
    attachments,
    inline_image,
    related,
    forwarded,
]


class Newsletter(EmailMultiAlternatives):
    """A subclass that does not change the message."""

    template_id = 7

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opened = object()


class Signed(EmailMultiAlternatives):
    """A subclass that builds the MIME form itself, like one that signs."""

    def message(self, *, policy: Any = email.policy.default) -> MimeMessage:
        mime = super().message(policy=policy)
        mime["X-Signature"] = "0123456789abcdef" * 4
        return mime

    def recipients(self) -> list[str]:
        return ["archive@example.com", *super().recipients()]


class Foreign:
    """A message that is no Django message, but has the methods that an SMTP backend calls."""

    from_email = "robot@example.com"
    subject = "Raw"
    raw = (
        b"From: robot@example.com\r\nSubject: Raw\r\nDKIM-Signature: v=1; a=rsa-sha256;\r\n"
        b"\tb=" + b"x" * 200 + b"\r\nMIME-Version: 1.0\r\nContent-Type: text/plain;charset=latin1"
        b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xf6\xdfe \xff\r\n"
    )

    def message(self, *, policy: Any = email.policy.default) -> MimeMessage:
        return email.message_from_bytes(self.raw, policy=policy.clone(refold_source="none"))

    def recipients(self) -> list[str]:
        return ["ann@example.org"]
