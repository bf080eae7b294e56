"""What a check yields."""

from collections.abc import Iterator

from django.core.checks import CheckMessage

type Messages = Iterator[CheckMessage]
