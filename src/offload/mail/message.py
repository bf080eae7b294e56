"""Email messages as JSON.

The attributes of a Django message are stored, not its MIME form, which Django builds from them
again: the mailers of email providers (Anymail and others) read the subject, alternatives,
attachments, and attributes that Django does not have, such as `tags` and `template_id`. If a
message's class builds the MIME form itself (because it signs or encrypts, or is not a Django
class), the MIME form is stored, and the attributes that mailers read are parsed from it.
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

ADDRESS_FIELDS = ("to", "cc", "bcc", "reply_to")
GENERATED_HEADERS = ("Date", "Message-ID")
"""Headers that Django generates anew each time it builds a MIME message."""


def serialize_message(message: Any, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return a message as JSON, with its Date and Message-ID fixed.

    Args:
        message: a message passed to `send_messages`.
        leave_out: names of attributes that are not stored.

    Raises:
        ValueError: for a forbidden header, as any mailer would raise.
        InvalidArguments: for an attribute with data that cannot be stored.
    """
    mime = message.message(policy=email.policy.SMTP)
    stored = {
        "subject": getattr(message, "subject", ""),
        "from_email": str(message.from_email),
        "extra_headers": _headers(message, mime),
        "attributes": _attributes(message, leave_out),
        **{name: _addresses(message, name) for name in ADDRESS_FIELDS},
    }
    if _is_built_by_django(message):
        stored |= _content(message)
        stored["generated"] = {name: str(mime[name]) for name in GENERATED_HEADERS}
    else:
        stored["mime"] = _as_text_if_possible(mime.as_bytes())
        stored["recipients"] = [str(address) for address in message.recipients()]
    return {name: pack(value) for name, value in stored.items()}


class StoredMessage(EmailMultiAlternatives):
    """A message restored from its JSON.

    Args:
        stored: the message as `serialize_message` returned it.
        recipients: the addresses to send to; all recipients of the message if None.
    """

    def __init__(self, stored: dict[str, Any], recipients: list[str] | None = None) -> None:
        super().__init__()
        values = {name: unpack(value) for name, value in stored.items()}
        attributes = values.pop("attributes")
        self._generated: dict[str, str] = values.pop("generated", {})
        mime = values.pop("mime", None)
        self._mime = None if mime is None else force_bytes(mime)
        stored_recipients = values.pop("recipients", None)
        self._recipients = stored_recipients if recipients is None else recipients
        if self._mime is not None:
            values |= _parse_content(self._mime)
        else:
            values["attachments"] = [_load_attachment(item) for item in values["attachments"]]
        values["alternatives"] = [EmailAlternative(*pair) for pair in values["alternatives"]]
        vars(self).update(attributes | values)

    def message(self, *, policy: Any = email.policy.default) -> MimeMessage:
        """Return the MIME form, which is the same for every attempt."""
        if self._mime is not None:
            if isinstance(policy, email.policy.EmailPolicy):
                # Folding a header again would break a signature.
                policy = policy.clone(refold_source="none")
            return message_from_bytes(self._mime, policy=policy)
        mime = super().message(policy=policy)
        for name, value in self._generated.items():
            mime.replace_header(name, value)
        _fix_boundaries(mime, seed=self._generated["Message-ID"])
        return mime

    def recipients(self) -> list[str]:
        """Return the addresses to send to."""
        return super().recipients() if self._recipients is None else self._recipients


def _addresses(message: Any, name: str) -> list[str]:
    """Return the addresses of one field as text; empty ones are unchanged."""
    addresses = getattr(message, name, None) or ()
    return [str(address) if address else address for address in addresses]


def _headers(message: Any, mime: Message) -> dict[str, str]:
    """Return the extra headers; a value that is not text (a date, an address) as MIME has it."""
    extra_headers = getattr(message, "extra_headers", None) or {}
    headers = {}
    for name, value in extra_headers.items():
        is_text = isinstance(value, str | Promise)
        headers[str(name)] = str(value if is_text else mime[name])
    return headers


def _attributes(message: Any, leave_out: Collection[str]) -> dict[str, Any]:
    """Return the attributes of the message and its class that Django's messages do not have.

    Objects that are not data are skipped, such as the status that Anymail sets. But a list or
    dict that cannot be stored is an error: without its `merge_data` a message would be sent to
    all recipients at once.
    """
    left_out = {*_FIELDS, *leave_out}
    stored = {}
    for name, value in _all_attributes(message).items():
        if name.startswith("_") or name in left_out:
            continue
        try:
            pack(value)
        except TypeError as error:
            _refuse_data(name, value, error)
        else:
            stored[name] = value
    return stored


def _all_attributes(message: Any) -> dict[str, Any]:
    """Return the attributes of the message and of those of its classes that are not Django's."""
    attributes: dict[str, Any] = {}
    for base in reversed(type(message).__mro__):
        if base not in {object, EmailMessage, EmailMultiAlternatives}:
            attributes |= vars(base)
    attributes |= getattr(message, "__dict__", {})
    return attributes


def _refuse_data(name: str, value: Any, error: TypeError) -> None:
    """Raise InvalidArguments if an attribute that cannot be stored holds data."""
    if isinstance(value, dict | list | tuple | set | frozenset):
        raise InvalidArguments(
            f"The email's attribute {name!r} holds {error}, which cannot be stored in the queue. "
            "Pass it as text or numbers, or add the attribute to the mailer's option 'leave_out' "
            "if the mailer that sends does not use it."
        ) from None


def _is_built_by_django(message: Any) -> bool:
    """Return True if Django's code builds the MIME form and the list of recipients."""
    message_class = type(message)
    if not issubclass(message_class, EmailMessage):
        return False
    for name in _BUILDERS:
        originals = (getattr(EmailMessage, name, None), getattr(EmailMultiAlternatives, name))
        if name in vars(message) or getattr(message_class, name, None) not in originals:
            return False
    return True


def _content(message: Any) -> dict[str, Any]:
    """Return the attributes from which Django builds the body of the MIME form."""
    encoding = message.encoding
    body = message.body
    if isinstance(body, bytes):
        body = force_str(body, encoding=encoding or settings.DEFAULT_CHARSET)
    return {
        "body": body,
        "content_subtype": message.content_subtype,
        "encoding": encoding,
        "alternatives": list(getattr(message, "alternatives", ())),
        "attachments": [_dump_attachment(attachment) for attachment in message.attachments],
    }


def _dump_attachment(attachment: Any) -> Any:
    if isinstance(attachment, Message):
        return {"part": _as_text_if_possible(attachment.as_bytes(policy=email.policy.default))}
    filename, content, mimetype = attachment
    if isinstance(content, EmailMessage):
        content = content.message(policy=email.policy.SMTP)
    if isinstance(content, Message):
        content = content.as_bytes()
    elif not isinstance(content, str | Promise | bytes | bytearray | memoryview):
        content = force_bytes(content)
    return [str(filename) if filename else filename, content, mimetype]


def _load_attachment(stored: Any) -> Any:
    if isinstance(stored, dict):
        part: Any = MIMEPart  # the stubs accept only EmailMessage
        return message_from_bytes(force_bytes(stored["part"]), part, policy=email.policy.default)
    return EmailAttachment(*stored)


def _as_text_if_possible(data: bytes) -> str | bytes:
    """Decode UTF-8 text: in the job, bytes become base64, which is a third longer."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _fix_boundaries(mime: MimeMessage, seed: str) -> None:
    """Replace the random boundaries, so that each attempt sends the same message."""
    for number, part in enumerate(mime.walk()):
        if part.get_content_maintype() == "multipart" and part.get_boundary() is None:
            digest = sha256(f"{number} {seed}".encode()).digest()
            token = int.from_bytes(digest) % sys.maxsize
            # Python's own format, so that it folds the header in the same way.
            part.set_boundary(f"{'=' * 15}{token:019d}==")


def _parse_content(data: bytes) -> dict[str, Any]:
    """Return the attributes for mailers that do not use the MIME form."""
    mime = message_from_bytes(data, policy=email.policy.default)
    plain, html = mime.get_body(("plain",)), mime.get_body(("html",))
    body = plain or html
    alternatives = []
    if plain and html:
        alternatives.append((_text(html), "text/html"))
    return {
        "body": _text(body) if body else "",
        "content_subtype": "html" if html and not plain else "plain",
        "alternatives": alternatives,
        "attachments": list(mime.iter_attachments()),
    }


def _text(part: Any) -> str:
    try:
        text = str(part.get_content())
    except LookupError:  # a charset that Python does not support
        text = force_str(part.get_payload(decode=True), errors="replace")
    return text.replace("\r\n", "\n")


_FIELDS = {
    *ADDRESS_FIELDS,
    *("subject", "body", "from_email", "extra_headers", "attachments", "alternatives"),
    *("content_subtype", "encoding", "connection"),
}
"""Attributes of Django's messages: each is stored under its own name, or not at all."""
_HELPERS = {
    "attach",
    "attach_alternative",
    "attach_file",
    "body_contains",
    "send",
    "get_connection",
}
"""Methods that a class may override without changing how the MIME form is built."""
_BUILDERS = [
    name
    for name in {**vars(EmailMessage), **vars(EmailMultiAlternatives)}
    if callable(getattr(EmailMultiAlternatives, name))
    and not name.startswith("__")
    and name not in _HELPERS
]
"""Methods that build the MIME form and the list of recipients."""
