"""System checks: of the settings on each `check`, of the database server with `--database`.

An error reports a configuration that cannot work; a warning one that makes jobs slow, late or
lost in some situations. `migrate` runs the checks of its database too, so a missing migration is
a warning.
"""
