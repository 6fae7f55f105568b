"""What Alembic runs around the migrations: the connection and its transaction come from us."""

from __future__ import annotations

from alembic import context

from retrue.adapters.state_tables import METADATA, VERSION_TABLE

__all__ = ["run"]


def run() -> None:
    """Run the migrations on the connection handed over in the configuration's attributes."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        version_table=VERSION_TABLE,
    )
    context.run_migrations()


if __name__ == "env_py":  # the name under which Alembic loads this file; doctest imports do nothing
    run()
