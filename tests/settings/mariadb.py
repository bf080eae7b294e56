"""Settings for the MariaDB server of `scripts/services`."""

from typing import Any

from tests.settings.base import *
from tests.settings.base import DATABASE, database_name, server

DATABASES: dict[str, Any] = {
    "default": {
        "ENGINE": "django.db.backends.mysql",
        "NAME": database_name(DATABASE),
        **server("mariadb", port=33069),
        "OPTIONS": {"charset": "utf8mb4", "isolation_level": "read committed"},
        "TEST": {"CHARSET": "utf8mb4"},
    }
}
