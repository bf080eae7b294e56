"""Model fields for text that compares exactly and holds any character, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    _Char = models.CharField[str, str]
    _Text = models.TextField[str | None, str | None]
    _Field = models.Field[Any, Any]
else:
    _Char = models.CharField
    _Text = models.TextField
    _Field = object


class _ExactMixin(_Field):
    """Gives a column a collation of its own on MariaDB and MySQL, whatever the database's is.

    By default they take "Mail" and "mail" for the same queue, and an older database cannot hold all
    characters. (`db_collation` would name the collation on every database.)
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters: dict[str, Any] = {**super().db_parameters(connection)}
        if connection.vendor == "mysql":
            parameters["collation"] = exact_collation(connection)
        return parameters


class ExactCharField(_ExactMixin, _Char):
    """A CharField that compares exactly."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return the type by its long name on PostgreSQL.

        To a primary key that is a "varchar", Django adds an index for LIKE, which nothing here
        uses. It would have to be written with each change of a limit's key.
        """
        name = super().db_type(connection)
        if connection.vendor == "postgresql" and name is not None:
            return name.replace("varchar", "character varying")
        return name


class OrderedCharField(ExactCharField):
    """An ExactCharField whose index is in the order of the characters' codes, for ranges."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters: dict[str, Any] = {**super().db_parameters(connection)}
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class ExactTextField(_ExactMixin, _Text):
    """A TextField that compares exactly."""


def exact_collation(connection: BaseDatabaseWrapper) -> str:
    """Return the collation of all text in MariaDB or MySQL; it even compares trailing spaces."""
    is_mariadb = getattr(connection, "mysql_is_mariadb", False)
    return "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
