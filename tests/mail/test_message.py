"""A stored message is restored exactly."""

import email.policy
import json
import re
from datetime import UTC, datetime
from email import message_from_bytes

import pytest
from django.core.mail import EmailMessage

from offload.exceptions import InvalidArguments
from offload.mail.message import StoredMessage, serialize_message
from tests.mail import messages
from tests.mail.messages import Foreign, Newsletter, Signed, simple


def through_json(message, **options):
    return StoredMessage(json.loads(json.dumps(serialize_message(message, **options))))


def without_generated_parts(data: bytes) -> bytes:
    """Remove the headers and boundaries that Django generates anew for each message."""
    for number, boundary in enumerate(dict.fromkeys(re.findall(rb"={15}\d{19}==", data))):
        data = data.replace(boundary, b"boundary %d" % number)
    return re.sub(rb"^(Date|Message-ID): .*(\r\n .*)*\r\n", b"", data, flags=re.MULTILINE)


def on_the_wire(message) -> bytes:
    return message.message(policy=email.policy.SMTP).as_bytes()


@pytest.mark.parametrize("make", messages.ALL)
def test_every_message_is_restored_byte_for_byte(make):
    assert without_generated_parts(on_the_wire(through_json(make()))) == without_generated_parts(
        on_the_wire(make())
    )


@pytest.mark.parametrize("make", messages.ALL)
def test_every_attempt_sends_the_same_bytes(make):
    stored = serialize_message(make())

    assert on_the_wire(StoredMessage(stored)) == on_the_wire(StoredMessage(stored))


@pytest.mark.parametrize("make", messages.ALL)
def test_recipients_and_sender_are_restored(make):
    message = make()

    stored = through_json(message)

    assert stored.recipients() == message.recipients()
    assert stored.from_email == message.from_email


def test_date_and_message_id_are_fixed_when_the_message_is_stored():
    stored = through_json(simple())

    first, second = stored.message(), stored.message()

    assert first["Date"] == second["Date"]
    assert first["Message-ID"] == second["Message-ID"]


def test_mailers_that_read_attributes_find_them():
    message = messages.attachments()

    stored = through_json(message)

    assert stored.subject == message.subject
    assert stored.extra_headers == message.extra_headers
    assert stored.body == message.body
    assert stored.alternatives == message.alternatives
    assert [
        (a.filename, bytes(a.content, "utf-8") if isinstance(a.content, str) else a.content)
        for a in stored.attachments
    ] == [
        (name, bytes(content, "utf-8") if isinstance(content, str) else bytes(content))
        for name, content, _ in message.attachments
    ]


def test_attributes_of_email_providers_are_restored():
    message = simple()
    message.tags = ("a", "b")
    message.metadata = {"order": 5, "Größe": None}
    message.send_at = datetime(2026, 1, 1, tzinfo=UTC)
    message.merge_data = {"ann@example.org": {"name": "Ann"}}

    stored = through_json(message)

    assert stored.tags == ["a", "b"]
    assert stored.metadata == {"order": 5, "Größe": None}
    assert stored.send_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert stored.merge_data == {"ann@example.org": {"name": "Ann"}}


def test_attributes_of_a_class_are_restored_and_objects_are_not_stored():
    stored = through_json(Newsletter("Hello", "x", to=["a@example.org"]))

    assert stored.template_id == 7
    assert not hasattr(stored, "opened")


def test_data_that_cannot_be_stored_is_refused_by_name():
    message = simple()
    message.merge_data = {"ann@example.org": {"order": object()}}

    with pytest.raises(InvalidArguments, match="'merge_data' holds a object"):
        serialize_message(message)


def test_attributes_may_be_left_out():
    message = simple()
    message.context = {"user": object()}

    assert not hasattr(through_json(message, leave_out=["context"]), "context")


def test_a_header_injection_is_refused_when_storing():
    with pytest.raises(ValueError, match="linefeed"):
        serialize_message(EmailMessage("Hello\nBcc: victim@example.org", "x", to=["a@example.org"]))


def test_a_message_whose_class_builds_the_mime_form_is_stored_in_that_form():
    message = Signed("Hello", "plain", "s@example.com", ["a@example.org"])

    stored = through_json(message)

    assert stored.message()["X-Signature"] == "0123456789abcdef" * 4
    assert stored.recipients() == ["archive@example.com", "a@example.org"]
    assert stored.body == "plain\n"


def test_an_encrypted_message_is_not_stored_in_the_clear():
    class Encrypted(EmailMessage):
        def message(self, *, policy=email.policy.default):
            return EmailMessage("...", "%%%", to=self.to).message(policy=policy)

    assert "secret" not in json.dumps(
        serialize_message(Encrypted("Hello", "secret", to=["a@example.org"]))
    )


def test_a_message_that_is_not_djangos_is_sent_unchanged():
    stored = through_json(Foreign())

    assert on_the_wire(stored) == Foreign.raw
    assert stored.recipients() == ["ann@example.org"]
    assert stored.body == "Größe ÿ\n"


def test_attributes_are_parsed_from_a_mime_form():
    message = Signed("Hello", "plain", "s@example.com", ["a@example.org"])
    message.attach_alternative("<p>html</p>", "text/html")
    message.attach("a.png", messages.PNG)

    stored = through_json(message)

    assert stored.body == "plain\n"
    assert [tuple(pair) for pair in stored.alternatives] == [("<p>html</p>\n", "text/html")]
    assert [part.get_content() for part in stored.attachments] == [messages.PNG]


def test_a_mime_form_may_have_an_unknown_charset():
    class Odd(Foreign):
        raw = Foreign.raw.replace(b"latin1", b"x-unknown")

    stored = through_json(Odd())

    assert on_the_wire(stored) == Odd.raw
    assert stored.body.startswith("Gr")


def test_fewer_recipients_do_not_change_the_message():
    stored = serialize_message(Signed("Hello", "x", to=["a@example.org", "b@example.org"]))

    restricted = StoredMessage(stored, ["b@example.org"])

    assert restricted.recipients() == ["b@example.org"]
    assert on_the_wire(restricted) == on_the_wire(StoredMessage(stored))


def test_a_message_can_be_parsed():
    parsed = message_from_bytes(on_the_wire(through_json(messages.attachments())))

    assert len(parsed.get_payload()) == 7


def test_a_message_that_overrides_its_builder_is_stored_in_mime_form():
    message = simple()
    finished = message.message(policy=email.policy.SMTP)
    finished["X-Signature"] = "0123"
    message.message = lambda *, policy: finished

    assert through_json(message).message()["X-Signature"] == "0123"
