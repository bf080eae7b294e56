"""Settings of the test suite; `OFFLOAD_TEST_DATABASE` names the database."""

import os

match os.environ.get("OFFLOAD_TEST_DATABASE", "sqlite"):
    case "sqlite":
        from tests.settings.sqlite import *
    case "postgresql":
        from tests.settings.postgresql import *
    case "mariadb":
        from tests.settings.mariadb import *
    case unknown:
        message = f"OFFLOAD_TEST_DATABASE is {unknown!r}; use sqlite, postgresql or mariadb."
        raise ValueError(message)
