"""The contract of the store: the same tests run on SQLite, PostgreSQL, MariaDB and MySQL."""
