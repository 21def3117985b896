"""Alembic's entry: runs the migrations on the connection that ``core.database`` opened."""

from __future__ import annotations

from alembic import context


def run() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=context.config.attributes.get("metadata"),
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
