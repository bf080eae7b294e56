"""A message as a job holds it: as JSON, and as a message again.

Stored are the attributes of Django's message and not its MIME form, because the backends of
providers (Anymail and others) read subject, alternatives, attachments, and also what they know
beside Django: `tags`, `metadata`, `template_id`. Django makes the same MIME form of them again.
A message whose class makes that form itself (it signs, encrypts, or is not one of Django's) is
stored as the finished form instead, and what backends read is read from there.
"""

from __future__ import annotations

import email.policy
import sys
from collections.abc import Collection
from email import message_from_bytes
from email.message import EmailMessage as MimeMessage
from email.message import Message, MIMEPart
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.core.mail import EmailAlternative, EmailAttachment, EmailMessage, EmailMultiAlternatives
from django.utils.encoding import force_bytes, force_str
from django.utils.functional import Promise

from offload.exceptions import InvalidArguments
from offload.mail.json_values import pack, unpack

ADDRESSES = ("to", "cc", "bcc", "reply_to")
MADE_AT_RANDOM = ("Date", "Message-ID")


def serialize_message(message: Any, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return a message as JSON, with its Date and Message-ID fixed.

    Args:
        message: what was given to `send_messages`.
        leave_out: names of attributes that are not stored.

    Raises:
        ValueError: for a header that no message may have, as when sending at once.
        InvalidArguments: for an attribute with data that cannot be stored.
    """
    mime = message.message(policy=email.policy.SMTP)
    stored = {
        "subject": getattr(message, "subject", ""),
        "from_email": str(message.from_email),
        "extra_headers": _headers(message, mime),
        "attributes": _attributes(message, leave_out),
    }
    for name in ADDRESSES:
        stored[name] = [value and str(value) for value in getattr(message, name, None) or ()]
    if _is_made_by_django(message):
        stored |= _content(message)
        stored["made"] = {name: str(mime[name]) for name in MADE_AT_RANDOM}
    else:
        stored["mime"] = _shorter(mime.as_bytes())
        stored["recipients"] = [str(address) for address in message.recipients()]
    return {name: pack(value) for name, value in stored.items()}


class StoredMessage(EmailMultiAlternatives):
    """A message from its JSON.

    Args:
        stored: what `serialize_message` returned.
        recipients: to whom it is sent; everybody it is addressed to if None.
    """

    def __init__(self, stored: dict[str, Any], recipients: list[str] | None = None) -> None:
        super().__init__()
        values = {name: unpack(value) for name, value in stored.items()}
        attributes = values.pop("attributes")
        self._made: dict[str, str] = values.pop("made", {})
        mime = values.pop("mime", None)
        self._mime = None if mime is None else force_bytes(mime)
        everybody = values.pop("recipients", None)
        self._recipients = everybody if recipients is None else recipients
        if self._mime is not None:
            values |= _content_of(self._mime)
        else:
            values["attachments"] = [_attachment(item) for item in values["attachments"]]
        values["alternatives"] = [EmailAlternative(*pair) for pair in values["alternatives"]]
        vars(self).update(attributes | values)

    def message(self, *, policy: Any = email.policy.default) -> MimeMessage:
        """Return the MIME form: the same at every attempt."""
        if self._mime is None:
            mime = super().message(policy=policy)
            for name, value in self._made.items():
                mime.replace_header(name, value)
            _fix_boundaries(mime, seed=self._made["Message-ID"])
            return mime
        if isinstance(policy, email.policy.EmailPolicy):
            # Folding a header again would break a signature.
            policy = policy.clone(refold_source="none")
        return message_from_bytes(self._mime, policy=policy)

    def recipients(self) -> list[str]:
        """Return to whom it is sent."""
        return super().recipients() if self._recipients is None else self._recipients


def _headers(message: Any, mime: Message) -> dict[str, str]:
    """Return the extra headers; what is not text (an address, a date) as Django wrote it."""
    return {
        str(name): str(value if isinstance(value, str | Promise) else mime[name])
        for name, value in (getattr(message, "extra_headers", None) or {}).items()
    }


def _attributes(message: Any, leave_out: Collection[str]) -> dict[str, Any]:
    """Return what was set on the message, or on its class, beside what Django knows.

    Objects that are not data stay behind, such as the status that Anymail fills. But a list or
    dict that cannot be stored is refused: without its `merge_data` a message would be sent to
    all recipients at once.
    """
    found: dict[str, Any] = {}
    for kind in reversed(type(message).__mro__):
        if kind not in {object, EmailMessage, EmailMultiAlternatives}:
            found |= vars(kind)
    found |= getattr(message, "__dict__", {})
    stored = {}
    for name, value in found.items():
        if name.startswith("_") or name in _KNOWN or name in leave_out:
            continue
        try:
            pack(value)
        except TypeError as error:
            if isinstance(value, dict | list | tuple | set | frozenset):
                raise InvalidArguments(
                    f"The e-mail's attribute {name!r} holds {error}, which cannot be stored in "
                    "the queue. Give it as text or numbers; or name the attribute in the mailer's "
                    "option 'leave_out' if the mailer that really sends does not read it."
                ) from None
        else:
            stored[name] = value
    return stored


def _is_made_by_django(message: Any) -> bool:
    """Tell whether Django's own code makes the MIME form and the list of recipients."""
    kind = type(message)
    return issubclass(kind, EmailMessage) and all(
        name not in vars(message)
        and getattr(kind, name, None)
        in (getattr(EmailMessage, name, None), getattr(EmailMultiAlternatives, name))
        for name in _MAKERS
    )


def _content(message: Any) -> dict[str, Any]:
    encoding = message.encoding
    body = message.body
    if isinstance(body, bytes):
        body = force_str(body, encoding=encoding or settings.DEFAULT_CHARSET)
    return {
        "body": body,
        "content_subtype": message.content_subtype,
        "encoding": encoding,
        "alternatives": list(getattr(message, "alternatives", ())),
        "attachments": [_stored_attachment(attachment) for attachment in message.attachments],
    }


def _stored_attachment(attachment: Any) -> Any:
    if isinstance(attachment, Message):
        return {"part": _shorter(attachment.as_bytes(policy=email.policy.default))}
    filename, content, mimetype = attachment
    if isinstance(content, EmailMessage):
        content = content.message(policy=email.policy.SMTP)
    if isinstance(content, Message):
        content = content.as_bytes()
    elif not isinstance(content, str | Promise | bytes | bytearray | memoryview):
        content = force_bytes(content)
    return [filename and str(filename), content, mimetype]


def _attachment(stored: Any) -> Any:
    if isinstance(stored, dict):
        part: Any = MIMEPart  # the stubs know only EmailMessage
        return message_from_bytes(force_bytes(stored["part"]), part, policy=email.policy.default)
    return EmailAttachment(*stored)


def _shorter(data: bytes) -> str | bytes:
    """Return text if it is text: base64 within base64 would be a third longer."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _fix_boundaries(mime: MimeMessage, seed: str) -> None:
    for number, part in enumerate(mime.walk()):
        if part.get_content_maintype() == "multipart" and part.get_boundary() is None:
            digest = sha256(f"{number} {seed}".encode()).digest()
            token = int.from_bytes(digest) % sys.maxsize
            # As Python writes it, so that the header is folded alike.
            part.set_boundary(f"{'=' * 15}{token:019d}==")


def _content_of(data: bytes) -> dict[str, Any]:
    """Return what backends read that do not take the MIME form."""
    mime = message_from_bytes(data, policy=email.policy.default)
    plain, html = mime.get_body(("plain",)), mime.get_body(("html",))
    body = plain or html
    return {
        "body": _text(body) if body else "",
        "content_subtype": "plain" if plain or not html else "html",
        "alternatives": [(_text(html), "text/html")] if plain and html else [],
        "attachments": list(mime.iter_attachments()),
    }


def _text(part: Any) -> str:
    try:
        text = str(part.get_content())
    except LookupError:  # a charset that Python does not know
        text = force_str(part.get_payload(decode=True), errors="replace")
    return text.replace("\r\n", "\n")


_KNOWN = {
    *ADDRESSES,
    *("subject", "body", "from_email", "extra_headers", "attachments", "alternatives"),
    *("content_subtype", "encoding", "connection"),
}
_OTHERS = {"attach", "attach_alternative", "attach_file", "body_contains", "send", "get_connection"}
_MAKERS = [
    name
    for name in {**vars(EmailMessage), **vars(EmailMultiAlternatives)}
    if callable(getattr(EmailMultiAlternatives, name))
    and not name.startswith("__")
    and name not in _OTHERS
]
