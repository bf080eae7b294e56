"""A project as the example sets it up, and nginx in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.deploy.example import commands
from tests.deploy.nginx import Nginx
from tests.deploy.project import Project
from tests.worker.conftest import fifo

__all__ = ["fifo"]


@pytest.fixture(scope="module")
def project(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The project, after the service `migrate`."""
    if connection.vendor != "postgresql":
        pytest.skip("the example uses PostgreSQL")
    name = f"{connection.settings_dict['NAME']}_deploy"
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
            cursor.execute(f"CREATE DATABASE {name}")
        project = Project(tmp_path_factory.mktemp("deploy") / "project", name)
        project.run(commands()["migrate"])
        yield project
        project.close()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def nginx(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The server that visitors talk to."""
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), project.folder / "static", project.port)
    nginx.start()
    yield nginx
    nginx.close()
