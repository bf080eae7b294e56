"""Signed tokens: permission to see some jobs, for clients without a session on this site.

A token is sent in a header, `Authorization: Offload <token>`. It is never part of a URL, which
would appear in logs, browser histories and `Referer` headers. It expires after 15 minutes, or
when the user for whom it was made changes the password or is deactivated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.utils.crypto import constant_time_compare

if TYPE_CHECKING:
    from django.http import HttpRequest

SALT = "offload.live.tokens"
LIFETIME_SECONDS = 15 * 60
SCHEME = "offload"
SCOPES = frozenset({"status", "result", "cancel"})
MAX_JOBS = 100
"""Maximum number of jobs of one token, which must fit into a header."""
FINGERPRINT_CHARS = 16


class TokenRefused(PermissionDenied):
    """The token was not made by this site, was changed, or its user is no longer valid.

    In a view of the project Django responds with 403, as to any `PermissionDenied`.
    """


class TokenExpired(TokenRefused):
    """The token was made more than 15 minutes ago."""


class Token(NamedTuple):
    """The content of a token.

    Attributes:
        ids: the jobs.
        scopes: what the client may do with them: "status", "result", "cancel".
        subject: the user for whom it was made, as primary key and fingerprint of the password.
    """

    ids: frozenset[UUID]
    scopes: frozenset[str]
    subject: tuple[str, str] | None = None

    @property
    def holder(self) -> str:
        """The name under which connections are counted: of the user, else of the first job."""
        if self.subject is None:
            return f"token:{min(self.ids)}"
        pk, _ = self.subject
        return f"user:{pk}"


def make_token(
    jobs: Iterable[UUID | str], *, scopes: Collection[str] = ("status",), user: Any = None
) -> str:
    """Return a token for the header `Authorization: Offload <token>`.

    Args:
        jobs: ids of 1 to 100 jobs.
        scopes: what the client may do with them: "status", "result", "cancel".
        user: the token becomes invalid when this user changes the password or is deactivated;
            None for no user.

    Raises:
        ValueError: for no jobs, too many jobs, something else than an id, or an unknown scope.
        TypeError: for something else than a saved user.
    """
    ids = sorted({_parse_id(job).hex for job in _as_list(jobs)})
    if not 1 <= len(ids) <= MAX_JOBS:
        raise ValueError(f"A token can name 1 to {MAX_JOBS} jobs, not {len(ids)}.")
    if not scopes or not SCOPES.issuperset(scopes):
        raise ValueError(f"scopes must be some of {', '.join(sorted(SCOPES))}, not {scopes!r}.")
    subject = None if user is None else _subject_of(user)
    return signing.dumps([ids, sorted(set(scopes)), subject], salt=SALT, compress=True)


def _subject_of(user: Any) -> tuple[str, str]:
    """Return the primary key and the fingerprint of a user."""
    if getattr(user, "pk", None) is None or not hasattr(user, "get_session_auth_hash"):
        raise TypeError(
            f"user must be a saved instance of {settings.AUTH_USER_MODEL}, or None, not "
            f"{user!r:.100}."
        )
    return str(user.pk), _fingerprint(user.get_session_auth_hash())


def _as_list(jobs: Any) -> list[Any]:
    """Return the ids in a list; a single id is taken for a mistake."""
    if isinstance(jobs, str | UUID):
        raise ValueError(f"jobs must be a list of ids, such as [result.id], not {jobs!r}.")  # noqa: TRY004  # as other bad arguments
    return list(jobs)


def _parse_id(job: UUID | str) -> UUID:
    try:
        return UUID(str(job))
    except ValueError:
        raise ValueError(
            f"jobs must be a list of ids, such as [result.id], not of {job!r:.60}."
        ) from None


def read_token(request: HttpRequest) -> Token | None:
    """Return the verified token of a request; None if it carries no token.

    Raises:
        TokenExpired: if the token is too old.
        TokenRefused: if it is not valid.
    """
    if not has_token(request):
        return None
    text = request.headers["Authorization"].partition(" ")[2].strip()
    try:
        ids, scopes, subject = signing.loads(text, salt=SALT, max_age=LIFETIME_SECONDS)
        token = Token(
            ids=frozenset(map(UUID, ids)),
            scopes=SCOPES.intersection(scopes),
            subject=None if subject is None else tuple(subject),
        )
    except signing.SignatureExpired:
        raise TokenExpired from None
    except Exception:  # noqa: BLE001  # untrusted text can raise anything
        raise TokenRefused from None
    if token.subject is not None and not _is_valid_subject(*token.subject):
        raise TokenRefused
    return token


def has_token(request: HttpRequest) -> bool:
    """Return whether a request carries a token, valid or not.

    No form and no link of another site can send this header.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == SCHEME and bool(text)


def _is_valid_subject(pk: str, fingerprint: str) -> bool:
    """Return whether the user exists, is active, and still has the same password."""
    users = get_user_model()._default_manager  # noqa: SLF001  # as Django's own backends do
    user: Any = users.filter(pk=pk).first()
    if user is None or not user.is_active:
        return False
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(_fingerprint(auth_hash), fingerprint) for auth_hash in hashes)


def _fingerprint(session_auth_hash: str) -> str:
    return session_auth_hash[:FINGERPRINT_CHARS]
