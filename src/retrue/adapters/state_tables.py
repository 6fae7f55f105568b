"""The ledger's tables. A change here needs a migration; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

__all__ = [
    "CENTER",
    "CURSOR",
    "LEASE",
    "METADATA",
    "MOVED",
    "QUARANTINE",
    "REVISIONS",
    "TASK",
    "VALUE",
    "VERSION_TABLE",
    "WINDOW",
]

# Teams point several tools at one PostgreSQL, and MLflow and Prefect own `alembic_version` there:
# our version table and all our tables carry our name.
VERSION_TABLE = "retrue_schema"
MOVED = "ledger/moved"  # key of the value that says where this workspace's ledger went
REVISIONS = ("0001",)  # oldest first; known without importing Alembic


class Utc(TypeDecorator[datetime]):
    """An aware time, in UTC. SQLite keeps no time zone, so one is taken off and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


METADATA = MetaData()

LEASE = Table(
    "retrue_lease",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # "": given back; the token stays, so it only rises
    Column("token", BigInteger, nullable=False),
    Column("expires_at", Utc, nullable=False),
)

CURSOR = Table(
    "retrue_cursor",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("position", Utc),
    Column("seen", JSON, nullable=False),  # [[uri, version], ...]
)

WINDOW = Table(
    "retrue_window",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("window_id", Text, primary_key=True),
    Column("stream", Text, nullable=False),
    Column("objects", JSON, nullable=False),  # [{uri, version, size, modified_at}, ...]
    Column("rows", BigInteger, nullable=False),
    Column("eligible", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("first_time", Utc),
    Column("last_time", Utc),
    Column("model_version", Text),
    Column("recorded_at", Utc, nullable=False),
    Column("profile", JSON, nullable=False),  # core.profile.to_json
)

QUARANTINE = Table(
    "retrue_quarantine",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("window_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),  # order within the window
    # JSON, because names and reasons quote broken data: PostgreSQL's text refuses NUL characters.
    Column("fact", JSON, nullable=False),  # {uri, version, row, reason}
    ForeignKeyConstraint(
        ["workspace", "window_id"], ["retrue_window.workspace", "retrue_window.window_id"]
    ),
)

CENTER = Table(
    "retrue_center",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("column", Text, primary_key=True),
    Column("center", Double[float](), nullable=False),
)

VALUE = Table(
    "retrue_value",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", JSON, nullable=False),
)

TASK = Table(
    "retrue_task",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("task_key", Text, primary_key=True),
    Column("round_id", Text, nullable=False),
    Column("sample_id", Text, nullable=False),
    Column("finished", Boolean, nullable=False),
    Index("retrue_task_in_flight", "workspace", "finished"),
)
