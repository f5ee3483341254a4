"""What can be asked of the ledger, within one snapshot or one write transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sheets_sync.ledger import codec, prepared
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

SMALL = 2_000
"""Up to how many characters a value of `state` is read along with the others."""

CHUNK = 5_000
"""Values of one IN list: PostgreSQL takes 65,535 parameters a statement, SQLite 32,766."""

# built once: to build a statement costs several times what it costs to run it, and a pass asks some eighty times
Move = Sequence[Any]
"""(SKU, kind, occurred_at, on_hand, committed, counted, strikes) of an event; the two figures are changes."""

_EVENT = events.c
_MOVES = sa.select(
    _EVENT.sku, _EVENT.kind, _EVENT.occurred_at, _EVENT.change_on_hand, _EVENT.change_committed, _EVENT.counted,
    _EVENT.strikes,
).where(
    _EVENT.sku.in_(sa.bindparam("skus", expanding=True)),
    _EVENT.location == sa.bindparam("location"),
    sa.or_(_EVENT.occurred_at > sa.bindparam("since"), _EVENT.strikes.is_not(None)),
).order_by(_EVENT.id)  # fmt: skip

_LAST_ID = sa.select(sa.func.max(events.c.id))
_AVAILABLE = sa.func.sum(balances.c.on_hand - balances.c.committed)
_BELOW_ZERO = (
    sa.select(balances.c.sku, _AVAILABLE).where(balances.c.counted).group_by(balances.c.sku).having(_AVAILABLE < 0)
)
_NEWEST_AT = sa.select(events.c.recorded_at).order_by(events.c.id.desc()).limit(1)
_LAST_REVISION = sa.select(sa.func.max(listings.c.revision))
_STATE = sa.select(state.c.value).where(state.c.name == sa.bindparam("name"))
_SMALL_STATE = sa.select(state.c.name, sa.case((sa.func.length(state.c.value) <= SMALL, state.c.value)))
_BY_KEY = sa.select(events).where(events.c.key == sa.bindparam("key"))
_QUESTIONS = sa.select(questions).where(questions.c.open).order_by(questions.c.id)
_QUESTIONS_OF = _QUESTIONS.where(questions.c.sku == sa.bindparam("sku"))
_INTENT = sa.select(exchanges.c.payload).where(exchanges.c.id == sa.bindparam("exchange"))
_ISSUED = sa.select(exchanges.c.id).where(exchanges.c.id == sa.bindparam("exchange"))
_LANDED = _ISSUED.where(exchanges.c.state == "landed")
_OPEN_INTENTS = (
    sa.select(exchanges.c.id, exchanges.c.previous, exchanges.c.payload)
    .where(exchanges.c.state == "sent")
    .order_by(exchanges.c.made_at, exchanges.c.id)
)
_PUT_BACKS = sa.select(put_backs).where(put_backs.c.closed_at.is_(None)).order_by(put_backs.c.id)
_TAKEN = sa.select(taken).where(taken.c.exchange == sa.bindparam("exchange"))
_EDITS = (
    sa.select(sa.func.max(events.c.id))
    .where(events.c.source == "sheet", events.c.kind == Kind.ADJUSTMENT.value)
    .where(events.c.sku.in_(sa.bindparam("among", expanding=True)))
    .group_by(events.c.sku)
)
_LAST_EDITS = sa.select(events).where(events.c.id.in_(_EDITS))
_HISTORIES = sa.select(events).order_by(events.c.id)
_EVENTS = sa.select(events)

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
        self._got: dict[str, str | None] = {}  # state that was asked for; nobody else changes it meanwhile
        self._large: set[str] | None = None  # once all small state is known: the names of the rest

    # state ------------------------------------------------------------------------------------------------------

    def get(self, name: str, default: Any = None) -> Any:
        """Small JSON state, as `Tx.put` stored it."""
        text = self._state(name)
        return default if text is None else codec.load_json(text)

    def _state(self, name: str) -> str | None:
        if self._got and self._large is None:  # who asks twice asks often: all that is small comes in one answer
            found = {other: text for other, text in prepared.rows(self._connection, _SMALL_STATE)}
            self._large = {other for other, text in found.items() if text is None}
            self._got = {other: text for other, text in found.items() if text is not None} | self._got
        if name not in self._got:
            absent = self._large is not None and name not in self._large
            self._got[name] = None if absent else prepared.value(self._connection, _STATE, {"name": name})
        return self._got[name]

    # stock ------------------------------------------------------------------------------------------------------

    def balances(self, skus: Iterable[str] | None = None, *, since: int = 0) -> dict[StockKey, Balance]:
        """Balances by key, of these SKUs or of all; with `since`, only those changed after that event."""
        query, some = _balances(bool(since)), {"since": since}
        found = (codec.balance_of(row) for row in self._among(query, balances.c.sku, skus, some))
        return {balance.key: balance for balance in found}

    def below_zero(self) -> dict[str, int]:
        """What is available of SKUs of which more is promised than there is, over all locations where they count."""
        return {sku: int(units) for sku, units in prepared.rows(self._connection, _BELOW_ZERO)}

    def last_event_id(self) -> int:
        """The id of the newest event, 0 in an empty ledger. Ids count up from 1 without gaps."""
        return int(prepared.value(self._connection, _LAST_ID) or 0)

    def newest_at(self) -> datetime | None:
        """When the newest event was recorded; None in an empty ledger."""
        at: datetime | None = prepared.value(self._connection, _NEWEST_AT)
        return at

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
        query = _events(sku is not None, None if batch is None else bool(batch), limit is not None, newest_first)
        some = {"sku": sku, "after": after, "batch": batch, "limit": limit}
        given = {name: value for name, value in some.items() if value is not None}
        return [codec.event_of(row) for row in prepared.rows(self._connection, query, given)]

    def histories(self, skus: Iterable[str]) -> dict[str, list[Event]]:
        """All events of these SKUs at every location, by SKU, in the order of recording. Ask for a bounded number."""
        found: dict[str, list[Event]] = {}
        for row in self._among(_HISTORIES, events.c.sku, skus):
            found.setdefault(row.sku, []).append(codec.event_of(row))
        return found

    def moves(self, since: Mapping[str, datetime], location: str) -> Iterator[Move]:
        """What happened to these SKUs after the time given for each, or a little before it, and all that was struck
        there, by the order of recording within a SKU. It costs a small part of `histories`.
        """
        skus = sorted(since, key=since.__getitem__)
        for start in range(0, len(skus), CHUNK):
            some = skus[start : start + CHUNK]
            asked = {"skus": some, "since": since[some[0]], "location": location}
            yield from prepared.rows(self._connection, _MOVES, asked)

    def event_by_key(self, key: str) -> Event | None:
        row = next(prepared.rows(self._connection, _BY_KEY, {"key": key}), None)
        return None if row is None else codec.event_of(row)

    def events_by_key(self, keys: Iterable[str]) -> list[Event]:
        """The events that were recorded under these keys."""
        return [codec.event_of(row) for row in self._among(_EVENTS, events.c.key, keys)]

    def iter_events(self) -> Iterator[Event]:
        """All events in the order of recording, streamed: a ledger may be larger than memory."""
        query = sa.select(events).order_by(events.c.id)
        for row in self._connection.execute(query, execution_options={"yield_per": 1_000}):
            yield codec.event_of(row)

    def last_edits(self, skus: Iterable[str]) -> dict[str, Event]:
        """By SKU, the newest adjustment that was typed in the sheet (S4)."""
        found: dict[str, Event] = {}
        for some in chunks(skus):
            edits = prepared.rows(self._connection, _LAST_EDITS, {"among": some})
            found |= {row.sku: codec.event_of(row) for row in edits}
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
        query = _lines(channel is not None, order_id is not None, open_only)
        some = {"channel": channel, "order": order_id}
        found = [codec.line_of(row) for row in self._among(query, order_lines.c.sku, skus, some)]
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
        query, some = _listings(channel is not None, bool(since)), {"channel": channel, "since": since}
        column, values = (listings.c.listing, ids) if ids is not None else (listings.c.sku, skus)
        found = [codec.listing_of(row) for row in self._among(query, column, values, some)]
        return sorted(found, key=lambda listing: (listing.channel, listing.ref))

    def iter_listings(self, channel: str) -> Iterator[Listing]:
        """A channel's listings one by one, streamed: a catalogue may be larger than memory."""
        query = sa.select(listings).where(listings.c.channel == channel)
        for row in self._connection.execute(query, execution_options={"yield_per": 1_000}):
            yield codec.listing_of(row)

    def shared_skus(self, channel: str) -> list[str]:
        """SKUs that several of a channel's listings stand for; one at several of its places is one."""
        query = (
            sa.select(listings.c.sku)
            .where(listings.c.channel == channel, listings.c.sku.is_not(None))
            .group_by(listings.c.sku)
            .having(sa.func.count(sa.distinct(listings.c.listing)) > 1)
        )
        return list(self._connection.scalars(query))

    def listings_revision(self) -> int:
        """It grows whenever listings are put; 0 while there are none."""
        return int(prepared.value(self._connection, _LAST_REVISION) or 0)

    def questions(self, *, sku: str | None = None) -> list[Question]:
        """Open questions, in the order in which they were asked."""
        query, given = (_QUESTIONS, {}) if sku is None else (_QUESTIONS_OF, {"sku": sku})
        return [codec.question_of(row) for row in prepared.rows(self._connection, query, given)]

    # deliveries -------------------------------------------------------------------------------------------------

    def deliveries(
        self, channel: str | None = None, *, state: str | None = None, limit: int = 100, newest_first: bool = False
    ) -> list[StoredDelivery]:
        """Deliveries as kept, the oldest first, or from the newest back."""
        query = _deliveries(channel is not None, state is not None, newest_first)
        some = {"channel": channel, "state": state, "limit": limit}
        given = {name: value for name, value in some.items() if value is not None}
        return [codec.delivery_of(row) for row in prepared.rows(self._connection, query, given)]

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
        payload = prepared.value(self._connection, _INTENT, {"exchange": exchange})
        return None if payload is None else bytes(payload)

    def issued(self, exchange: str) -> bool:
        return prepared.value(self._connection, _ISSUED, {"exchange": exchange}) is not None

    def landed(self, exchange: str) -> bool:
        """Whether that exchange is one of ours of which we know that it was applied."""
        return prepared.value(self._connection, _LANDED, {"exchange": exchange}) is not None

    def open_intents(self) -> list[tuple[str, str, bytes]]:
        """(exchange, previous, payload) of all whose outcome is not known, the oldest first."""
        return [
            (id_, previous, bytes(payload)) for id_, previous, payload in prepared.rows(self._connection, _OPEN_INTENTS)
        ]

    def taken(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Cell]:
        """What was taken from tags: (exchange, SKU) -> the figure typed; absent where the tag was not used yet."""
        wanted = set(pairs)
        found: dict[tuple[str, str], Cell] = {}
        by_exchange: dict[str, list[str]] = {}
        for exchange, sku in wanted:
            by_exchange.setdefault(exchange, []).append(sku)
        for exchange, skus in by_exchange.items():
            for row in self._among(_TAKEN, taken.c.sku, skus, {"exchange": exchange}):
                found[row.exchange, row.sku] = codec.load_json(row.cell)
        return found

    def put_backs(self) -> list[tuple[int, dict[str, Any]]]:
        """Open ones: (id, what was given to `add_put_backs`)."""
        return [(row.id, codec.load_json(row.cells)) for row in prepared.rows(self._connection, _PUT_BACKS)]

    def put_backs_since(self, since: datetime) -> list[dict[str, Any]]:
        """What was given to `add_put_backs` since then, open or closed."""
        query = sa.select(put_backs.c.cells).where(put_backs.c.made_at >= since).order_by(put_backs.c.id)
        return [codec.load_json(row.cells) for row in self._connection.execute(query)]

    # ------------------------------------------------------------------------------------------------------------

    def _among(
        self,
        query: sa.Select[Any],
        column: sa.Column[Any],
        values: Iterable[str] | None,
        given: Mapping[str, Any] = MappingProxyType({}),
    ) -> Iterator[Any]:
        """Rows of the query whose column is one of the values, or all; in statements that a database takes."""
        known = {name: value for name, value in given.items() if value is not None}
        if values is None:
            yield from prepared.rows(self._connection, query, known)
            return
        for some in chunks(values):
            yield from prepared.rows(self._connection, _some_of(query, column), {**known, "among": some})


# what is asked in several forms, each built once -----------------------------------------------------------------


@cache
def _some_of(query: sa.Select[Any], column: sa.Column[Any]) -> sa.Select[Any]:
    return query.where(column.in_(sa.bindparam("among", expanding=True)))


@cache
def _balances(since: bool) -> sa.Select[Any]:
    query = sa.select(balances).where(balances.c.sku != EVERY_SKU)
    return query.where(balances.c.event_id > sa.bindparam("since")) if since else query


@cache
def _events(sku: bool, batch: bool | None, limit: bool, newest_first: bool) -> sa.Select[Any]:
    """`batch` False: those of no batch."""
    query = sa.select(events).where(events.c.id > sa.bindparam("after"))
    query = query.order_by(events.c.id.desc() if newest_first else events.c.id)
    if sku:
        query = query.where(events.c.sku == sa.bindparam("sku"))
    if batch is not None:
        query = query.where(events.c.batch == sa.bindparam("batch"))
        if batch:
            query = query.where(events.c.batch != "")  # lets SQLite use the index of batches
    return query.limit(sa.bindparam("limit", type_=sa.Integer)) if limit else query


@cache
def _lines(channel: bool, order: bool, open_only: bool) -> sa.Select[Any]:
    query = sa.select(order_lines)
    if channel:
        query = query.where(order_lines.c.channel == sa.bindparam("channel"))
    if order:
        query = query.where(order_lines.c.order_id == sa.bindparam("order"))
    return query.where(order_lines.c.open) if open_only else query


@cache
def _listings(channel: bool, since: bool) -> sa.Select[Any]:
    query = sa.select(listings)
    if channel:
        query = query.where(listings.c.channel == sa.bindparam("channel"))
    return query.where(listings.c.revision > sa.bindparam("since")) if since else query


@cache
def _deliveries(channel: bool, with_state: bool, newest_first: bool) -> sa.Select[Any]:
    at, id_ = deliveries.c.received_at, deliveries.c.id
    query = sa.select(deliveries).order_by(*((at.desc(), id_.desc()) if newest_first else (at, id_)))
    if channel:
        query = query.where(deliveries.c.channel == sa.bindparam("channel"))
    if with_state:
        query = query.where(deliveries.c.state == sa.bindparam("state"))
    return query.limit(sa.bindparam("limit", type_=sa.Integer))
