"""Checks of a MariaDB or MySQL database: of its settings, and of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.checks import Warning  # noqa: A004

from offload.checks.messages import Messages
from offload.models.exact_text import exact_collation

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def check_isolation_setting(connection: BaseDatabaseWrapper) -> Messages:
    """Check the isolation level in the settings; without one Django uses read committed."""
    level = connection.settings_dict["OPTIONS"].get("isolation_level", "read committed")
    if level is not None:
        yield from check_isolation({"transaction_isolation": level}, connection.alias)


def check_isolation(facts: dict[str, str], alias: str) -> Messages:
    """Check the isolation level: above read committed, claims lock the gaps between rows."""
    level = facts.get("transaction_isolation") or facts.get("tx_isolation") or ""
    if level.upper().replace("-", " ") != "READ COMMITTED":
        yield Warning(
            f"DATABASES[{alias!r}] uses the isolation level {level.lower()}: enqueueing and "
            "claiming jobs will block each other and deadlock.",
            hint='Remove its OPTIONS["isolation_level"], or set it to "read committed".',
            id="offload.W009",
        )


def check_galera(facts: dict[str, str], alias: str) -> Messages:
    """Check for a cluster, whose nodes do not see each other's locks."""
    if facts.get("wsrep_on", "").upper() == "ON":
        yield Warning(
            f"DATABASES[{alias!r}] is a Galera cluster: locks are local to a node, so workers on "
            "several nodes claim the same jobs, and all but one fail at their commit.",
            hint="Connect all workers to the same node.",
            id="offload.W010",
        )


def check_charset(facts: dict[str, str], alias: str) -> Messages:
    """Check that the connection carries all characters."""
    charset = facts.get("character_set_client", "utf8mb4")
    if charset != "utf8mb4":
        yield Warning(
            f"Connections to DATABASES[{alias!r}] use the character set {charset}: jobs whose "
            "arguments contain other characters cannot be enqueued.",
            hint='Remove its OPTIONS["charset"], or set it to "utf8mb4".',
            id="offload.W021",
        )


def check_collation(facts: dict[str, str], connection: BaseDatabaseWrapper) -> Messages:
    """Check that the tables were not converted after they had been created."""
    if facts.get("inexact_tables"):
        collation = exact_collation(connection)
        yield Warning(
            f"Tables in DATABASES[{connection.alias!r}] have another collation than {collation}: "
            f"{facts['inexact_tables']}. They cannot hold all characters, or take 'Mail' and "
            "'mail' for the same queue.",
            hint="For each of them: ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4 COLLATE "
            f"{collation};",
            id="offload.W022",
        )
