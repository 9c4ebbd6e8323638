"""Where records go: tables of SQLite, Postgres and MySQL, or files."""
