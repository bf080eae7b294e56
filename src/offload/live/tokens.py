"""Signed tokens: the right to see some jobs, for who has no session here.

A token travels in a header, `Authorization: Offload <token>`, and never in a URL, which would end
up in logs, histories and `Referer` headers. It ends after 15 minutes, or when the user for whom
it was made changes the password or is deactivated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core import signing
from django.utils.crypto import constant_time_compare

if TYPE_CHECKING:
    from django.http import HttpRequest

SALT = "offload.live.tokens"
LIFETIME_SECONDS = 15 * 60
"""Seconds."""
SCHEME = "offload"
SCOPES = frozenset({"status", "result", "cancel"})
MAX_JOBS = 100
"""Jobs that one token may name: it travels in a header."""


class TokenRefused(Exception):
    """The token was not made here, was changed, or is of a user who is gone."""


class TokenExpired(TokenRefused):
    """The token was good, more than 15 minutes ago."""


class Token(NamedTuple):
    """What a token says.

    Attributes:
        ids: the jobs.
        scopes: what may be done with them: "status", "result", "cancel".
        subject: the user for whom it was made, as primary key and part of the session's hash.
    """

    ids: frozenset[UUID]
    scopes: frozenset[str]
    subject: tuple[str, str] | None = None

    @property
    def holder(self) -> str:
        """Who holds it, for limits: its user, else its first job."""
        return f"user:{self.subject[0]}" if self.subject else f"token:{min(self.ids)}"


def make_token(
    jobs: Iterable[UUID | str], *, scopes: Collection[str] = ("status",), user: Any = None
) -> str:
    """Return a token for the header `Authorization: Offload <token>`.

    Args:
        jobs: ids of at most 100 jobs.
        scopes: what the holder may do with them, out of "status", "result" and "cancel".
        user: let it end with this user's password; None for nobody's.

    Raises:
        ValueError: for no or too many jobs, or an unknown scope.
    """
    ids = sorted({UUID(str(job)).hex for job in jobs})
    if not 1 <= len(ids) <= MAX_JOBS:
        raise ValueError(f"A token names 1 to {MAX_JOBS} jobs, not {len(ids)}.")
    if not scopes or not SCOPES.issuperset(scopes):
        raise ValueError(f"scopes must be some of {', '.join(sorted(SCOPES))}, not {scopes!r}.")
    subject = None if user is None else [str(user.pk), _fingerprint(user.get_session_auth_hash())]
    return signing.dumps([ids, sorted(set(scopes)), subject], salt=SALT, compress=True)


def read_token(request: HttpRequest) -> Token | None:
    """Return the token that a request carries, checked; None if it carries none.

    Raises:
        TokenExpired: for one that was good once.
        TokenRefused: for any other.
    """
    if not has_token(request):
        return None
    text = request.headers["Authorization"].partition(" ")[2].strip()
    try:
        ids, scopes, subject = signing.loads(text, salt=SALT, max_age=LIFETIME_SECONDS)
        token = Token(
            frozenset(map(UUID, ids)), SCOPES.intersection(scopes), subject and tuple(subject)
        )
    except signing.SignatureExpired:
        raise TokenExpired from None
    except Exception:  # noqa: BLE001  # it is text from outside: whatever it breaks, it is no token
        raise TokenRefused from None
    if token.subject is not None and not _is_valid(*token.subject):
        raise TokenRefused
    return token


def has_token(request: HttpRequest) -> bool:
    """Tell whether a request has one of our tokens, good or bad.

    No form and no link of another site can send this header.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == SCHEME and bool(text)


def _is_valid(pk: str, fingerprint: str) -> bool:
    """Tell whether the user is there, active, and has the password of then."""
    users = get_user_model()._default_manager  # noqa: SLF001  # as Django's own backends do
    user: Any = users.filter(pk=pk).first()
    if user is None or not user.is_active:
        return False
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(_fingerprint(each), fingerprint) for each in hashes)


def _fingerprint(session_auth_hash: str) -> str:
    return session_auth_hash[:16]
