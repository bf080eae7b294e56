"""A database trigger that records every change of a job's state and fence."""

from __future__ import annotations

from django.db import connection

_CHANGE = """
INSERT INTO tests_transition (job_id, old_state, new_state, old_fence, new_fence)
VALUES (OLD.id, OLD.state, NEW.state, OLD.fence, NEW.fence)
"""
_TRIGGERS = {
    "sqlite": [
        f"""
        CREATE TRIGGER IF NOT EXISTS offload_history AFTER UPDATE ON offload_job
        WHEN OLD.state <> NEW.state OR OLD.fence <> NEW.fence
        BEGIN {_CHANGE}; END
        """
    ],
    "postgresql": [
        f"""
        CREATE OR REPLACE FUNCTION offload_history() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN {_CHANGE}; RETURN NULL; END $$
        """,
        """
        CREATE OR REPLACE TRIGGER offload_history AFTER UPDATE ON offload_job FOR EACH ROW
        WHEN (OLD.state <> NEW.state OR OLD.fence <> NEW.fence) EXECUTE FUNCTION offload_history()
        """,
    ],
    "mysql": [
        f"""
        CREATE TRIGGER IF NOT EXISTS offload_history AFTER UPDATE ON offload_job FOR EACH ROW
        IF OLD.state <> NEW.state OR OLD.fence <> NEW.fence THEN {_CHANGE}; END IF
        """
    ],
}


def install() -> None:
    """Create the trigger if it does not exist."""
    with connection.cursor() as cursor:
        for text in _TRIGGERS[connection.vendor]:
            cursor.execute(text)


def remove() -> None:
    with connection.cursor() as cursor:
        table = " ON offload_job" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER IF EXISTS offload_history{table}")
