"""Alembic runs this. The connection, and the transaction around it, are those of `Database.migrate`."""

from alembic import context

from sheets_sync.ledger.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the transaction is the caller's: all migrations, or none
)
context.run_migrations()
