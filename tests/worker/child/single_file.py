"""A project in one file, as a test runs it: without a guard, and with an import path of its own."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
with (HERE / "events").open("a") as events:
    events.write(f"main {sys.argv[1]}\n")
sys.path.append(str(HERE / "lib"))

from django.conf import settings  # noqa: E402
from django.core.management import call_command, execute_from_command_line  # noqa: E402

settings.configure(
    SECRET_KEY="only for tests",
    INSTALLED_APPS=["offload", "shop"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}},
    TASKS={"default": {"BACKEND": "offload.backends.database.DatabaseBackend"}},
    # Not `disable_existing_loggers`, whose default is True.
    LOGGING={
        "version": 1,
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "file": {"class": "logging.FileHandler", "filename": HERE / "buffered"},
            "buffer": {
                "class": "logging.handlers.MemoryHandler",
                "capacity": 1000,
                "target": "file",
            },
        },
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {"shop": {"handlers": ["buffer"], "propagate": False}},
    },
)
if sys.argv[1] == "enqueue":
    import django

    django.setup()
    call_command("migrate", verbosity=0)
    from shop import tasks

    for name in sys.argv[2:]:
        getattr(tasks, name).enqueue()
else:
    execute_from_command_line(sys.argv)
