"""The first schema: leases, cursors, windows, quarantine, centers, values, tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table; each row carries its workspace."""
    op.create_table(
        "retrue_lease",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
    )
    op.create_table(
        "retrue_cursor",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("position", _TIME),
        sa.Column("seen", sa.JSON, nullable=False),
    )
    _create_windows()
    op.create_table(
        "retrue_center",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("column", sa.Text, primary_key=True),
        sa.Column("center", sa.Double[float](), nullable=False),
    )
    op.create_table(
        "retrue_value",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )
    op.create_table(
        "retrue_task",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("task_key", sa.Text, primary_key=True),
        sa.Column("round_id", sa.Text, nullable=False),
        sa.Column("sample_id", sa.Text, nullable=False),
        sa.Column("finished", sa.Boolean, nullable=False),
    )
    op.create_index("retrue_task_in_flight", "retrue_task", ["workspace", "finished"])


def _create_windows() -> None:
    op.create_table(
        "retrue_window",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("window_id", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("objects", sa.JSON, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("eligible", sa.BigInteger, nullable=False),
        sa.Column("duplicates", sa.BigInteger, nullable=False),
        sa.Column("quarantined", sa.BigInteger, nullable=False),
        sa.Column("first_time", _TIME),
        sa.Column("last_time", _TIME),
        sa.Column("model_version", sa.Text),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.Column("profile", sa.JSON, nullable=False),
    )
    op.create_table(
        "retrue_quarantine",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("window_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("fact", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "window_id"], ["retrue_window.workspace", "retrue_window.window_id"]
        ),
    )


def downgrade() -> None:
    """Refuse: the ledger can be rebuilt, so no downgrade is kept working."""
    msg = "the ledger is not downgraded: move it away and run `retrue ledger rebuild`"
    raise NotImplementedError(msg)
