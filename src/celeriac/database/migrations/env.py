"""Run by Alembic: migrates on the connection, and in the transaction, that `upgrade` was given."""

from alembic import context

from celeriac.database.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
