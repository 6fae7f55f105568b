"""The ledger's migrations; `retrue.adapters.state_engine` runs them, users need no alembic.ini."""
