"""The tables, for both databases; `migrations/` makes them, and a test proves that the two agree.

A point in time is a whole number of microseconds since 1970-01-01 UTC: exact, and sorted alike by SQLite and
PostgreSQL. Text is compared for equality only, never sorted by the database, whose collations differ. What the ledger
never searches by is one JSON text a row (`codec.py`). Every stock key has a location.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

HEAD = "0001"
"""The newest migration; the schema below is what it leads to."""

VERSION_TABLE = "ledger_version"
"""Where Alembic notes the migration that was last made; not its usual name, since others may share the database."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime, kept as microseconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData()


def _figures(prefix: str = "") -> list[sa.Column[int]]:
    return [sa.Column(prefix + name, sa.BigInteger, nullable=False) for name in ("on_hand", "committed", "damaged")]


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("sku"),
    _text("location"),
    sa.Column("seq", sa.Integer, nullable=False),
    _text("kind"),
    _text("key"),
    sa.Column("occurred_at", Instant, nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    *_figures("change_"),
    *_figures(),
    sa.Column("counted", sa.BigInteger),  # on_hand was exactly this; a row already has a method `count`
    sa.Column("strikes", sa.Text, sa.ForeignKey("events.key")),
    sa.Column("corrects", sa.Text, sa.ForeignKey("events.key")),
    sa.Column("apart", sa.Text),
    _text("source"),
    _text("actor"),
    _text("reference"),
    _text("line"),
    _text("reason"),
    _text("note"),
    _text("batch"),
    sa.UniqueConstraint("key", name="events_key"),
    sa.UniqueConstraint("sku", "location", "seq", name="events_seq"),
)
sa.Index("events_batch", events.c.batch, sqlite_where=events.c.batch != "", postgresql_where=events.c.batch != "")
sa.Index(
    "events_strikes",
    events.c.strikes,
    unique=True,  # a reversal cannot be made twice, whoever asks
    sqlite_where=events.c.strikes.is_not(None),
    postgresql_where=events.c.strikes.is_not(None),
)

balances = sa.Table(
    "balances",
    metadata,
    sa.Column("sku", sa.Text, primary_key=True),
    sa.Column("location", sa.Text, primary_key=True),
    *_figures(),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("counted", sa.Boolean, nullable=False),
    sa.Column("last_at", Instant, nullable=False),
    sa.Column("last_count_at", Instant, nullable=False),
    sa.Column("event_id", sa.BigInteger, sa.ForeignKey("events.id"), nullable=False),
    sa.Index("balances_event", "event_id"),
)

order_lines = sa.Table(
    "order_lines",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    _text("channel"),
    _text("order_id"),
    sa.Column("sku", sa.Text),
    sa.Column("open", sa.Boolean, nullable=False),
    _text("state"),
    sa.Index("order_lines_order", "channel", "order_id"),
    sa.Index("order_lines_sku", "sku"),
)
sa.Index(
    "order_lines_open",
    order_lines.c.channel,
    sqlite_where=order_lines.c.open,
    postgresql_where=order_lines.c.open,
)

listings = sa.Table(
    "listings",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("listing", sa.Text, primary_key=True),
    sa.Column("parent", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("sku", sa.Text),
    _text("state"),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Index("listings_sku", "sku"),
    sa.Index("listings_revision", "revision"),
)

questions = sa.Table(
    "questions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _text("key"),
    _text("sku"),
    _text("contents"),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("open", sa.Boolean, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("answered", sa.Boolean, nullable=False),
    _text("why"),
    sa.Index("questions_key", "key"),
)
sa.Index(
    "questions_open",
    questions.c.key,
    unique=True,
    sqlite_where=questions.c.open,
    postgresql_where=questions.c.open,
)

exchanges = sa.Table(
    "exchanges",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("previous"),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    _text("state"),
    sa.Column("made_at", Instant, nullable=False),
    sa.Index("exchanges_state", "state"),
    sa.Index("exchanges_previous", "previous"),
)

settlements = sa.Table(
    "settlements",
    metadata,
    sa.Column("exchange", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("settled_at", Instant, nullable=False),
)

taken = sa.Table(
    "taken",
    metadata,
    sa.Column("exchange", sa.Text, primary_key=True),
    sa.Column("sku", sa.Text, primary_key=True),
    _text("cell"),
)

put_backs = sa.Table(
    "put_backs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _text("cells"),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Index("put_backs_closed", "closed_at"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    _text("topic"),
    _text("headers"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    _text("state"),
    _text("note"),
    sa.Index("deliveries_state", "state", "received_at"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _text("holder"),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("until", Instant, nullable=False),
)

state = sa.Table(
    "state",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _text("value"),
)
