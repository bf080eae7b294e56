"""A trigger on the table of jobs: it writes down every change of state and run."""

from __future__ import annotations

from django.db import connection

_CHANGE = """
INSERT INTO tests_transition (job_id, old_state, new_state, old_run, new_run)
VALUES (OLD.id, OLD.state, NEW.state, OLD.fence, NEW.fence)
"""
_TRIGGERS = {
    "sqlite": [
        f"""
        CREATE TRIGGER IF NOT EXISTS offload_witness AFTER UPDATE ON offload_job
        WHEN OLD.state <> NEW.state OR OLD.fence <> NEW.fence
        BEGIN {_CHANGE}; END
        """
    ],
    "postgresql": [
        f"""
        CREATE OR REPLACE FUNCTION offload_witness() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN {_CHANGE}; RETURN NULL; END $$
        """,
        """
        CREATE OR REPLACE TRIGGER offload_witness AFTER UPDATE ON offload_job FOR EACH ROW
        WHEN (OLD.state <> NEW.state OR OLD.fence <> NEW.fence) EXECUTE FUNCTION offload_witness()
        """,
    ],
    "mysql": [
        f"""
        CREATE TRIGGER IF NOT EXISTS offload_witness AFTER UPDATE ON offload_job FOR EACH ROW
        IF OLD.state <> NEW.state OR OLD.fence <> NEW.fence THEN {_CHANGE}; END IF
        """
    ],
}


def install() -> None:
    """Make the trigger, if it is not there."""
    with connection.cursor() as cursor:
        for text in _TRIGGERS[connection.vendor]:
            cursor.execute(text)


def remove() -> None:
    with connection.cursor() as cursor:
        table = " ON offload_job" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER IF EXISTS offload_witness{table}")
