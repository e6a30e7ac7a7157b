"""Runs the steps on the connection, and in the transaction, that the program hands over."""

from alembic import context

from engine.store.tables import metadata

# Never a connection of its own: tests and the program would migrate different databases.
# `engine.store.migrations` says how to make a new step; there is no alembic.ini.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
