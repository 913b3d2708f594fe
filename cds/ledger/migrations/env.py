"""Runs the migrations on the connection that `cds.ledger.upgrade` opened; there is no alembic.ini to keep beside it."""

from alembic import context

from cds.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
# The caller's transaction is open already: a migration that fails leaves nothing behind, on both databases.
context.run_migrations()
