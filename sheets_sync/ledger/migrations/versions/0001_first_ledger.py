"""The first ledger: events that cannot be changed, and what is kept beside them.

Written out, not taken from `schema.py`: a migration stays as it is while the schema moves on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _stock()
    _orders_and_listings()
    _questions()
    _exchanges()
    _the_rest()
    _append_only()


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _whole(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _partial(name: str, table: str, column: str, where: str, *, unique: bool = False) -> None:
    clause = sa.text(where)
    op.create_index(name, table, [column], unique=unique, sqlite_where=clause, postgresql_where=clause)


def _stock() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        *_text("sku", "location"),
        sa.Column("seq", sa.Integer, nullable=False),
        *_text("kind", "key"),
        *_whole("occurred_at", "recorded_at"),
        *_whole("change_on_hand", "change_committed", "change_damaged"),
        *_whole("on_hand", "committed", "damaged"),
        sa.Column("counted", sa.BigInteger),
        sa.Column("strikes", sa.Text, sa.ForeignKey("events.key")),
        sa.Column("corrects", sa.Text, sa.ForeignKey("events.key")),
        sa.Column("apart", sa.Text),
        *_text("source", "actor", "reference", "line", "reason", "note", "batch"),
        sa.UniqueConstraint("key", name="events_key"),
        sa.UniqueConstraint("sku", "location", "seq", name="events_seq"),
    )
    _partial("events_batch", "events", "batch", "batch != ''")
    _partial("events_strikes", "events", "strikes", "strikes IS NOT NULL", unique=True)
    op.create_table(
        "balances",
        sa.Column("sku", sa.Text, primary_key=True),
        sa.Column("location", sa.Text, primary_key=True),
        *_whole("on_hand", "committed", "damaged"),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("counted", sa.Boolean, nullable=False),
        *_whole("last_at", "last_count_at"),
        sa.Column("event_id", sa.BigInteger, sa.ForeignKey("events.id"), nullable=False),
    )
    op.create_index("balances_event", "balances", ["event_id"])


def _orders_and_listings() -> None:
    op.create_table(
        "order_lines",
        sa.Column("key", sa.Text, primary_key=True),
        *_text("channel", "order_id"),
        sa.Column("sku", sa.Text),
        sa.Column("open", sa.Boolean, nullable=False),
        *_text("state"),
    )
    op.create_index("order_lines_order", "order_lines", ["channel", "order_id"])
    op.create_index("order_lines_sku", "order_lines", ["sku"])
    _partial("order_lines_open", "order_lines", "channel", "open")
    op.create_table(
        "listings",
        *[sa.Column(name, sa.Text, primary_key=True) for name in ("channel", "listing", "parent", "place")],
        sa.Column("sku", sa.Text),
        *_text("state"),
        *_whole("revision"),
    )
    op.create_index("listings_sku", "listings", ["sku"])
    op.create_index("listings_revision", "listings", ["revision"])


def _questions() -> None:
    op.create_table(
        "questions",
        sa.Column("id", sa.Integer, primary_key=True),
        *_text("key", "sku", "contents"),
        *_whole("asked_at"),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("answered", sa.Boolean, nullable=False),
        *_text("why"),
    )
    op.create_index("questions_key", "questions", ["key"])
    _partial("questions_open", "questions", "key", "open", unique=True)


def _exchanges() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("previous"),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        *_text("state"),
        *_whole("made_at"),
    )
    op.create_index("exchanges_state", "exchanges", ["state"])
    op.create_index("exchanges_previous", "exchanges", ["previous"])
    op.create_table(
        "settlements",
        sa.Column("exchange", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        *_whole("settled_at"),
    )
    op.create_table(
        "taken",
        sa.Column("exchange", sa.Text, primary_key=True),
        sa.Column("sku", sa.Text, primary_key=True),
        *_text("cell"),
    )
    op.create_table(
        "put_backs",
        sa.Column("id", sa.Integer, primary_key=True),
        *_text("cells"),
        *_whole("made_at"),
        sa.Column("closed_at", sa.BigInteger),
    )
    op.create_index("put_backs_closed", "put_backs", ["closed_at"])


def _the_rest() -> None:
    op.create_table(
        "deliveries",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_text("topic", "headers"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        *_whole("received_at"),
        *_text("state", "note"),
    )
    op.create_index("deliveries_state", "deliveries", ["state", "received_at"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        *_text("holder"),
        *_whole("token", "until"),
    )
    op.create_table("state", sa.Column("name", sa.Text, primary_key=True), *_text("value"))


def _append_only() -> None:
    """No hand, ours or another's, changes an event."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER events_no_{verb.lower()} BEFORE {verb} ON events "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: events are never changed or deleted'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION events_are_final() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'the ledger is append-only: events are never changed or deleted'; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_are_final()"
    )
