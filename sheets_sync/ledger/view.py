"""What can be asked of the ledger, within one snapshot or one write transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sheets_sync.ledger import codec
from sheets_sync.ledger.schema import (
    balances,
    deliveries,
    events,
    exchanges,
    listings,
    order_lines,
    put_backs,
    questions,
    state,
    taken,
)
from sheets_sync.model import (
    EVERY_SKU,
    Balance,
    Cell,
    Event,
    Kind,
    LineState,
    Listing,
    Question,
    StockKey,
    StoredDelivery,
)

HEAD_NAME = "_head"
ID_NAME = "_id"
"""Entries of `state` that are the ledger's own; a name that begins with "_" is nobody else's."""

CHUNK = 5_000
"""Values of one IN list: PostgreSQL takes 65,535 parameters a statement, SQLite 32,766."""

_LAST_ID = sa.select(sa.func.max(events.c.id))
_LAST_REVISION = sa.select(sa.func.max(listings.c.revision))

T = TypeVar("T")
Rows = Iterable[sa.Row[Any]]


def chunks(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Distinct values in lists that fit one statement."""
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), CHUNK):
        yield distinct[start : start + CHUNK]


class View:
    """Reads. Its methods may be called until the `with` that gave it ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # state ------------------------------------------------------------------------------------------------------

    def get(self, name: str, default: Any = None) -> Any:
        """Small JSON state, as `Tx.put` stored it."""
        text = self._connection.scalar(sa.select(state.c.value).where(state.c.name == name))
        return default if text is None else codec.load_json(text)

    # stock ------------------------------------------------------------------------------------------------------

    def balances(self, skus: Iterable[str] | None = None, *, since: int = 0) -> dict[StockKey, Balance]:
        """Balances by key, of these SKUs or of all; with `since`, only those changed after that event."""
        query = sa.select(balances).where(balances.c.sku != EVERY_SKU)
        if since:
            query = query.where(balances.c.event_id > since)
        found = (codec.balance_of(row) for row in self._among(query, balances.c.sku, skus))
        return {balance.key: balance for balance in found}

    def last_event_id(self) -> int:
        """The id of the newest event, 0 in an empty ledger. Ids count up from 1 without gaps."""
        return self._connection.scalar(_LAST_ID) or 0

    def events(
        self,
        *,
        sku: str | None = None,
        after: int = 0,
        batch: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Event]:
        """Events in the order of recording, or from the newest back; `after` is an event id."""
        query = sa.select(events).order_by(events.c.id.desc() if newest_first else events.c.id)
        if sku is not None:
            query = query.where(events.c.sku == sku)
        if after:
            query = query.where(events.c.id > after)
        if batch is not None:
            query = query.where(events.c.batch == batch)
            if batch:
                query = query.where(events.c.batch != "")  # lets SQLite use the index of batches
        if limit is not None:
            query = query.limit(limit)
        return [codec.event_of(row) for row in self._connection.execute(query)]

    def histories(self, skus: Iterable[str]) -> dict[str, list[Event]]:
        """All events of these SKUs at every location, by SKU, in the order of recording. Ask for a bounded number."""
        found: dict[str, list[Event]] = {}
        for row in self._among(sa.select(events).order_by(events.c.id), events.c.sku, skus):
            found.setdefault(row.sku, []).append(codec.event_of(row))
        return found

    def event_by_key(self, key: str) -> Event | None:
        row = self._connection.execute(sa.select(events).where(events.c.key == key)).one_or_none()
        return None if row is None else codec.event_of(row)

    def events_by_key(self, keys: Iterable[str]) -> list[Event]:
        """The events that were recorded under these keys."""
        return [codec.event_of(row) for row in self._among(sa.select(events), events.c.key, keys)]

    def iter_events(self) -> Iterator[Event]:
        """All events in the order of recording, streamed: a ledger may be larger than memory."""
        query = sa.select(events).order_by(events.c.id)
        for row in self._connection.execute(query, execution_options={"yield_per": 1_000}):
            yield codec.event_of(row)

    def last_edits(self, skus: Iterable[str]) -> dict[str, Event]:
        """By SKU, the newest adjustment that was typed in the sheet (S4)."""
        newest = (
            sa.select(sa.func.max(events.c.id))
            .where(events.c.source == "sheet", events.c.kind == Kind.ADJUSTMENT.value)
            .group_by(events.c.sku)
        )
        found: dict[str, Event] = {}
        for some in chunks(skus):
            query = sa.select(events).where(events.c.id.in_(newest.where(events.c.sku.in_(some))))
            found |= {row.sku: codec.event_of(row) for row in self._connection.execute(query)}
        return found

    # orders, listings, questions --------------------------------------------------------------------------------

    def lines(
        self,
        channel: str | None = None,
        *,
        order_id: str | None = None,
        open_only: bool = False,
        skus: Iterable[str] | None = None,
    ) -> list[LineState]:
        """Order lines by key. `open_only`: units promised and not gone, or still without a SKU of ours."""
        query = sa.select(order_lines)
        if channel is not None:
            query = query.where(order_lines.c.channel == channel)
        if order_id is not None:
            query = query.where(order_lines.c.order_id == order_id)
        if open_only:
            query = query.where(order_lines.c.open)
        found = [codec.line_of(row) for row in self._among(query, order_lines.c.sku, skus)]
        return sorted(found, key=lambda line: line.key)

    def listings(
        self,
        channel: str | None = None,
        *,
        skus: Iterable[str] | None = None,
        ids: Iterable[str] | None = None,
        since: int = 0,
    ) -> list[Listing]:
        """Listings by channel and ref: of these SKUs, or of these `Ref.listing`; with `since`, only those that were
        put after that revision.
        """
        query = sa.select(listings)
        if channel is not None:
            query = query.where(listings.c.channel == channel)
        if since:
            query = query.where(listings.c.revision > since)
        column, values = (listings.c.listing, ids) if ids is not None else (listings.c.sku, skus)
        found = [codec.listing_of(row) for row in self._among(query, column, values)]
        return sorted(found, key=lambda listing: (listing.channel, listing.ref))

    def iter_listings(self, channel: str) -> Iterator[Listing]:
        """A channel's listings one by one, streamed: a catalogue may be larger than memory."""
        query = sa.select(listings).where(listings.c.channel == channel)
        for row in self._connection.execute(query, execution_options={"yield_per": 1_000}):
            yield codec.listing_of(row)

    def shared_skus(self, channel: str) -> list[str]:
        """SKUs that several of a channel's listings stand for."""
        query = (
            sa.select(listings.c.sku)
            .where(listings.c.channel == channel, listings.c.sku.is_not(None))
            .group_by(listings.c.sku)
            .having(sa.func.count() > 1)
        )
        return list(self._connection.scalars(query))

    def listings_revision(self) -> int:
        """It grows whenever listings are put; 0 while there are none."""
        return self._connection.scalar(_LAST_REVISION) or 0

    def questions(self, *, sku: str | None = None) -> list[Question]:
        """Open questions, in the order in which they were asked."""
        query = sa.select(questions).where(questions.c.open).order_by(questions.c.id)
        if sku is not None:
            query = query.where(questions.c.sku == sku)
        return [codec.question_of(row) for row in self._connection.execute(query)]

    # deliveries -------------------------------------------------------------------------------------------------

    def deliveries(
        self, channel: str | None = None, *, state: str | None = None, limit: int = 100, newest_first: bool = False
    ) -> list[StoredDelivery]:
        """Deliveries as kept, the oldest first, or from the newest back."""
        at, id_ = deliveries.c.received_at, deliveries.c.id
        order = (at.desc(), id_.desc()) if newest_first else (at, id_)
        query = sa.select(deliveries).order_by(*order).limit(limit)
        if channel is not None:
            query = query.where(deliveries.c.channel == channel)
        if state is not None:
            query = query.where(deliveries.c.state == state)
        return [codec.delivery_of(row) for row in self._connection.execute(query)]

    def delivery(self, channel: str, id: str) -> StoredDelivery | None:
        """One delivery as kept; None where it is not, or not any more."""
        query = sa.select(deliveries).where(deliveries.c.channel == channel, deliveries.c.id == id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else codec.delivery_of(row)

    # exchanges --------------------------------------------------------------------------------------------------

    def head(self) -> str:
        """The last settled exchange; "" before the first."""
        return str(self.get(HEAD_NAME, ""))

    def intent(self, exchange: str) -> bytes | None:
        """What was given to `intend`, b"" once it is settled; None for an exchange that this ledger did not issue."""
        payload = self._connection.scalar(sa.select(exchanges.c.payload).where(exchanges.c.id == exchange))
        return None if payload is None else bytes(payload)

    def issued(self, exchange: str) -> bool:
        return self._connection.scalar(sa.select(exchanges.c.id).where(exchanges.c.id == exchange)) is not None

    def open_intents(self) -> list[tuple[str, str, bytes]]:
        """(exchange, previous, payload) of all whose outcome is not known, the oldest first."""
        query = (
            sa.select(exchanges.c.id, exchanges.c.previous, exchanges.c.payload)
            .where(exchanges.c.state == "sent")
            .order_by(exchanges.c.made_at, exchanges.c.id)
        )
        return [(id_, previous, bytes(payload)) for id_, previous, payload in self._connection.execute(query)]

    def taken(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Cell]:
        """What was taken from tags: (exchange, SKU) -> the figure typed; absent where the tag was not used yet."""
        wanted = set(pairs)
        found: dict[tuple[str, str], Cell] = {}
        query = sa.select(taken)
        by_exchange: dict[str, list[str]] = {}
        for exchange, sku in wanted:
            by_exchange.setdefault(exchange, []).append(sku)
        for exchange, skus in by_exchange.items():
            for row in self._among(query.where(taken.c.exchange == exchange), taken.c.sku, skus):
                found[row.exchange, row.sku] = codec.load_json(row.cell)
        return found

    def put_backs(self) -> list[tuple[int, dict[str, Any]]]:
        """Open ones: (id, what was given to `add_put_backs`)."""
        query = sa.select(put_backs).where(put_backs.c.closed_at.is_(None)).order_by(put_backs.c.id)
        return [(row.id, codec.load_json(row.cells)) for row in self._connection.execute(query)]

    # ------------------------------------------------------------------------------------------------------------

    def _among(
        self, query: sa.Select[Any], column: sa.Column[Any], values: Iterable[str] | None
    ) -> Iterator[sa.Row[Any]]:
        """Rows of the query whose column is one of the values, or all; in statements that a database takes."""
        if values is None:
            yield from self._connection.execute(query)
            return
        for some in chunks(values):
            yield from self._connection.execute(query.where(column.in_(some)))
