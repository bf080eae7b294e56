"""Partial indexes, with a substitute for MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import Q


class PartialIndex(models.Index):
    """An index of `fields` for the rows that meet `where`; with `unique` a unique one.

    On MySQL and MariaDB, which have no partial indexes and where Django would create none, this is
    a full index over `instead`, through which the same statements find their rows. (InnoDB reads on
    behind a range up to the next live entry. With "-state" no entries follow those of the waiting
    jobs, so no dead entries of finished jobs are passed.) It is never unique: an INSERT into such
    an index locks gaps beside dead entries, so that transactions with different values deadlock.
    """

    def __init__(
        self,
        *,
        fields: Sequence[str],
        where: Q,
        instead: Sequence[str],
        name: str,
        unique: bool = False,
    ) -> None:
        super().__init__(fields=fields, name=name)
        self.unique = unique
        self.where = where
        self.instead = list(instead)

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        if schema_editor.connection.features.supports_partial_indexes:
            index = models.Index(fields=self.fields, name=self.name, condition=self.where)
        else:
            index = models.Index(fields=self.instead, name=self.name)
        statement = index.create_sql(model, schema_editor, using, **kwargs)
        if self.unique and schema_editor.connection.features.supports_partial_indexes:
            statement.template = statement.template.replace("CREATE INDEX", "CREATE UNIQUE INDEX")
        return statement

    def deconstruct(self) -> tuple[str, tuple[()], dict[str, Any]]:
        path, _, kwargs = super().deconstruct()
        kwargs |= {"where": self.where, "instead": self.instead}
        return path, (), {**kwargs, "unique": True} if self.unique else kwargs
