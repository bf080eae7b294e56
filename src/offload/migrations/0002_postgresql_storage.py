from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# Every job's row is written three times. Room in its page keeps those versions together, and
# vacuuming by a small share of the table keeps the ready index free of dead entries.
SET = """
ALTER TABLE offload_job SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE offload_worker SET (fillfactor = 50);
"""
RESET = """
ALTER TABLE offload_job RESET (
    fillfactor,
    autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_threshold,
    autovacuum_vacuum_insert_scale_factor,
    autovacuum_vacuum_cost_delay
);
ALTER TABLE offload_worker RESET (fillfactor);
"""


def set_storage(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(SET)


def reset_storage(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(RESET)


class Migration(migrations.Migration):
    dependencies = [("offload", "0001_initial")]
    operations = [migrations.RunPython(set_storage, reset_storage)]
