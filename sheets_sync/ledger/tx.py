"""One write transaction: all of it is recorded, or nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from sheets_sync import stock
from sheets_sync.errors import KeyConflict
from sheets_sync.ledger import codec, prepared
from sheets_sync.ledger.clock import Steady
from sheets_sync.ledger.schema import (
    balances,
    deliveries,
    events,
    exchanges,
    listings,
    order_lines,
    put_backs,
    questions,
    settlements,
    state,
    taken,
)
from sheets_sync.ledger.view import HEAD_NAME, View, chunks
from sheets_sync.model import (
    LONG_AGO,
    Balance,
    Cell,
    Event,
    Fact,
    Kind,
    LineState,
    Listing,
    Question,
    Ref,
    Stock,
    StockKey,
    StoredDelivery,
)

# built once: `append` is the busiest road, and to build a statement costs as much as to run it
_WITH_KEYS = sa.select(events).where(events.c.key.in_(sa.bindparam("keys", expanding=True)))
_BALANCES_OF = sa.select(balances).where(balances.c.sku.in_(sa.bindparam("skus", expanding=True)))
_STRUCK = sa.select(
    events.c.key, events.c.sku, events.c.location, events.c.seq, events.c.counted,
    events.c.change_on_hand, events.c.change_committed, events.c.change_damaged,
).where(events.c.strikes.is_(None), events.c.kind != Kind.CORRECTION.value)  # fmt: skip
_STRIKE = events.alias()
_NEVER_STRUCK = sa.select(events.c.sku, events.c.location, events.c.seq).where(
    events.c.counted.is_not(None), ~sa.exists().where(_STRIKE.c.strikes == events.c.key)
)
_INSERT_EVENTS = sa.insert(events)
_IN_ORDER = sa.select(events).order_by(events.c.seq)
_ALL_QUESTIONS = sa.select(questions)
_CLOSE_QUESTIONS = (
    sa.update(questions)
    .where(questions.c.key.in_(sa.bindparam("keys", expanding=True)), questions.c.open)
    .values(open=False, closed_at=sa.bindparam("at"), answered=sa.bindparam("by_a_person"), why=sa.bindparam("because"))
)
_SETTLED = sa.select(settlements.c.digest).where(
    settlements.c.exchange == sa.bindparam("exchange"), settlements.c.digest == sa.bindparam("digest")
)
_INSERT_SETTLEMENT = sa.insert(settlements)
_INSERT_EXCHANGE = sa.insert(exchanges)
_PREVIOUS = sa.select(exchanges.c.previous).where(exchanges.c.id == sa.bindparam("exchange")).scalar_subquery()
_OTHERS_DIE = (
    sa.update(exchanges)
    .where(exchanges.c.previous == _PREVIOUS, exchanges.c.id != sa.bindparam("exchange"), exchanges.c.state == "sent")
    .values(state="dead")
)
_FORGET_PAYLOADS = (
    sa.update(exchanges).where(exchanges.c.previous == _PREVIOUS, exchanges.c.state != "sent").values(payload=b"")
)
_SET_INTENT = sa.update(exchanges).where(exchanges.c.id == sa.bindparam("exchange")).values(state=sa.bindparam("now"))
_DELETE_STATE = sa.delete(state).where(state.c.name == sa.bindparam("named"))

INTENT_STATES = frozenset({"sent", "landed", "refused", "dead"})
DELIVERY_STATES = frozenset({"waiting", "applied", "failed"})


class Tx(View):
    """Reads and writes. What it reads stays as it is until it ends: nobody else writes meanwhile."""

    def __init__(self, connection: Connection, clock: Steady) -> None:
        super().__init__(connection)
        self._clock = clock

    def put(self, name: str, value: Any) -> None:
        """Small JSON state by name; None deletes it."""
        if name.startswith("_"):
            raise ValueError(f"state {name!r}: names that begin with _ are the ledger's own")
        self._put(name, value)

    # stock ------------------------------------------------------------------------------------------------------

    def append(self, facts: Iterable[Fact]) -> list[Event]:
        """Record facts in order, each once, with the corrections of law 2; gives the events appended.

        A key that is recorded with the same contents is success: nothing is appended for it. Raises KeyConflict for
        other contents, BadInput for what is no fact, AlreadyReversed for a second strike; then nothing of the
        transaction may be kept.
        """
        fresh = self._not_recorded([stock.checked(fact) for fact in facts])
        if not fresh:
            return []
        standing = self._balances_of(fresh)
        newest = self._newest(fresh, standing)
        histories = self._histories([fact for fact in fresh if fact.key not in newest], standing)
        appended: list[Event] = []
        if (last_at := self.newest_at()) is not None:
            self._clock.not_before(last_at)  # another process may have recorded it
        now, next_id = self._clock(), self.last_event_id() + 1
        for fact in fresh:
            key = StockKey(fact.sku, fact.location)
            history = histories.get(key)
            made, standing[key] = stock.post(
                standing[key], history or (), fact, recorded_at=now, next_id=next_id + len(appended),
                newest=newest.get(fact.key),
            )  # fmt: skip
            appended += made
            if history is not None:
                history += made
        self._connection.execute(_INSERT_EVENTS, [codec.event_values(event) for event in appended])
        self._upsert(balances, [codec.balance_values(balance) for balance in standing.values()])
        return appended

    def _not_recorded(self, facts: Sequence[Fact]) -> list[Fact]:
        known: dict[str, Fact] = {}
        for keys in chunks(fact.key for fact in facts):
            found = prepared.rows(self._connection, _WITH_KEYS, {"keys": keys})
            known |= {row.key: codec.event_of(row).fact for row in found}
        fresh = []
        for fact in facts:
            if fact.key not in known:
                known[fact.key] = fact
                fresh.append(fact)
            elif differ := stock.differing(known[fact.key], fact):
                raise KeyConflict(_conflict(known[fact.key], fact, differ))
        return fresh

    def _balances_of(self, facts: Iterable[Fact]) -> dict[StockKey, Balance]:
        keys = dict.fromkeys(StockKey(fact.sku, fact.location) for fact in facts)
        found: dict[StockKey, Balance] = {}
        for skus in chunks(key.sku for key in keys):
            kept = map(codec.balance_of, prepared.rows(self._connection, _BALANCES_OF, {"skus": skus}))
            found |= {balance.key: balance for balance in kept}
        return {key: found.get(key) or Balance(key) for key in keys}

    def _newest(self, facts: Sequence[Fact], standing: Mapping[StockKey, Balance]) -> dict[str, stock.Newest]:
        """By the strike's key, what it strikes, where that is the newest of its SKU: most of what is undone is."""
        alone = Counter((fact.sku, fact.location) for fact in facts)
        strikes = {f.strikes: f for f in facts if f.strikes is not None and alone[f.sku, f.location] == 1}
        found: dict[str, stock.Newest] = {}
        counted: list[sa.Row[Any]] = []
        for row in self._among(_STRUCK, events.c.key, strikes):
            fact, key = strikes[row.key], StockKey(row.sku, row.location)
            if key == (fact.sku, fact.location) and row.seq == standing[key].seq:
                change = Stock(row.change_on_hand, row.change_committed, row.change_damaged)
                found[fact.key] = stock.Newest(row.seq, change, standing[key].counted)
                counted += [row] if row.counted is not None else []
        besides = self._counts_before({StockKey(row.sku, row.location): row.seq for row in counted})
        for row in counted:
            if (row.sku, row.location) not in besides:  # the law says whether one stands
                del found[strikes[row.key].key]
        return found

    def _counts_before(self, seqs: Mapping[StockKey, int]) -> set[StockKey]:
        """Of these, the keys with a count that was recorded before, and never struck."""
        rows = self._among(_NEVER_STRUCK, events.c.sku, [key.sku for key in seqs])
        return {key for row in rows if row.seq < seqs.get(key := StockKey(row.sku, row.location), 0)}

    def _histories(self, facts: Iterable[Fact], standing: Mapping[StockKey, Balance]) -> dict[StockKey, list[Event]]:
        """All events of those keys for which some fact of the batch takes the slow road of law 2."""
        times = dict(standing)
        slow: dict[StockKey, list[Event]] = {}
        for fact in facts:
            key = StockKey(fact.sku, fact.location)
            if stock.needs_history(times[key], fact):
                slow[key] = []
            times[key] = stock.seen(times[key], fact)
        for row in self._among(_IN_ORDER, events.c.sku, [key.sku for key in slow]):
            key = StockKey(row.sku, row.location)
            if key in slow:
                slow[key].append(codec.event_of(row))
        return slow

    # orders and listings ----------------------------------------------------------------------------------------

    def put_line(self, line: LineState) -> None:
        self.put_lines([line])

    def put_lines(self, lines: Iterable[LineState]) -> None:
        """Lines as they are now, by their key."""
        self._upsert(order_lines, [codec.line_values(line) for line in lines])

    def put_listings(self, listings_: Iterable[Listing]) -> None:
        """Listings as they are now, by channel and ref; all of them get the next revision."""
        revision = self.listings_revision() + 1
        self._upsert(listings, [codec.listing_values(listing) | {"revision": revision} for listing in listings_])

    def drop_listing(self, channel: str, ref: Ref) -> None:
        self._connection.execute(
            sa.delete(listings).where(
                listings.c.channel == channel,
                listings.c.listing == ref.listing,
                listings.c.parent == ref.parent,
                listings.c.place == ref.place,
            )
        )

    def lock_listings(self, channel: str) -> None:
        """From here on nobody else writes this channel's listings. (A write transaction is the only one anyway.)"""

    # questions --------------------------------------------------------------------------------------------------

    def ask(self, asked: Iterable[Question]) -> list[Question]:
        """Ask what is not open yet and was never answered with just these contents; gives what was newly asked.

        A question that does not say when it was asked is asked now.
        """
        now = self._clock()
        asked = [q if q.asked_at != LONG_AGO else replace(q, asked_at=now) for q in asked]
        rows = {question.key: (question, codec.question_values(question)) for question in asked}
        was_open: set[str] = set()
        answered: dict[str, set[str]] = defaultdict(set)
        for row in self._among(_ALL_QUESTIONS, questions.c.key, rows):
            if row.answered:
                answered[row.key].add(row.contents)
            if row.open:
                was_open.add(row.key)
        new = [
            (question, values)
            for key, (question, values) in rows.items()
            if key not in was_open and values["contents"] not in answered[key]
        ]
        if new:
            self._connection.execute(sa.insert(questions), [values for _, values in new])
        return [question for question, _ in new]

    def close_questions(self, keys: Iterable[str], why: str, *, answered: bool = False) -> None:
        """Close what is open of these; `why` in words.

        A question whose cause went away is asked again when that comes back; one that a person `answered` never is.
        """
        for some in chunks(keys):
            given = {"keys": some, "at": self._clock(), "by_a_person": answered, "because": why}
            self._connection.execute(_CLOSE_QUESTIONS, given)

    # exchanges --------------------------------------------------------------------------------------------------

    def intend(self, exchange: str, previous: str, payload: bytes) -> None:
        """What an exchange will do, recorded before it is sent; its state is "sent".

        Raises KeyConflict for an id that was used before: an exchange's id is made anew for each.
        """
        if self.issued(exchange):
            raise KeyConflict(f"exchange {exchange}: intended already; every exchange has an id of its own")
        values = {"id": exchange, "previous": previous, "payload": payload, "state": "sent", "made_at": self._clock()}
        self._connection.execute(_INSERT_EXCHANGE, values)

    def settle_once(self, exchange: str, digest: str) -> bool:
        """True the first time for this exchange with these contents, False ever after."""
        values = {"exchange": exchange, "digest": digest}
        if prepared.value(self._connection, _SETTLED, values) is not None:
            return False
        self._connection.execute(_INSERT_SETTLEMENT, {**values, "settled_at": self._clock()})
        return True

    def set_head(self, exchange: str) -> None:
        """The exchange landed and is settled; others made for the same predecessor never land any more.

        What they were going to do is not kept: of a large sheet that would be a megabyte an exchange.
        """
        self._put(HEAD_NAME, exchange)
        self._connection.execute(_OTHERS_DIE, {"exchange": exchange})
        self.set_intent_state(exchange, "landed")
        self._connection.execute(_FORGET_PAYLOADS, {"exchange": exchange})

    def set_intent_state(self, exchange: str, state: str) -> None:
        """ "sent" | "landed" | "refused" | "dead"."""
        if state not in INTENT_STATES:
            raise ValueError(f"an exchange is never {state!r}")
        self._connection.execute(_SET_INTENT, {"exchange": exchange, "now": state})

    def take(self, cells: Mapping[tuple[str, str], Cell]) -> None:
        """Tags used: (exchange, SKU) -> the figure that was typed over them; the last word stands."""
        rows = [
            {"exchange": exchange, "sku": sku, "cell": codec.dump_json(cell)} for (exchange, sku), cell in cells.items()
        ]
        self._upsert(taken, rows)

    def add_put_backs(self, items: Iterable[Mapping[str, Any]], *, closed: bool = False) -> None:
        """What was overwritten by mistake and has to be written back; `closed` where that cannot be done."""
        now = self._clock()
        closed_at = now if closed else None
        if rows := [{"cells": codec.dump_json(dict(item)), "made_at": now, "closed_at": closed_at} for item in items]:
            self._connection.execute(sa.insert(put_backs), rows)

    def close_put_backs(self, ids: Iterable[int]) -> None:
        for some in chunks(ids):
            self._connection.execute(
                sa.update(put_backs).where(put_backs.c.id.in_(some)).values(closed_at=self._clock())
            )

    # deliveries -------------------------------------------------------------------------------------------------

    def store_delivery(self, delivery: StoredDelivery) -> bool:
        """False where this channel's delivery is there already: nothing changes."""
        known = sa.select(deliveries.c.id).where(
            deliveries.c.channel == delivery.channel, deliveries.c.id == delivery.id
        )
        if self._connection.scalar(known) is not None:
            return False
        self._connection.execute(sa.insert(deliveries).values(codec.delivery_values(delivery)))
        return True

    def mark_delivery(self, channel: str, id: str, state: str, note: str = "") -> None:
        """ "waiting" | "applied" | "failed", with a note in words."""
        if state not in DELIVERY_STATES:
            raise ValueError(f"a delivery is never {state!r}")
        self._connection.execute(
            sa.update(deliveries)
            .where(deliveries.c.channel == channel, deliveries.c.id == id)
            .values(state=state, note=note)
        )

    def prune_deliveries(self, keep: int) -> int:
        """Forget all but the newest `keep` of those that wait for nothing; gives how many were forgotten."""
        newest = (
            sa.select(deliveries.c.received_at)
            .where(deliveries.c.state != "waiting")
            .order_by(deliveries.c.received_at.desc())
            .offset(keep)
            .limit(1)
        )
        last = self._connection.scalar(newest)
        if last is None:
            return 0
        done = self._connection.execute(
            sa.delete(deliveries).where(deliveries.c.state != "waiting", deliveries.c.received_at <= last)
        )
        return done.rowcount

    # ------------------------------------------------------------------------------------------------------------

    def _put(self, name: str, value: Any) -> None:
        text = self._got[name] = None if value is None else codec.dump_json(value)
        if text is None:
            self._connection.execute(_DELETE_STATE, {"named": name})
        else:
            self._upsert(state, [{"name": name, "value": text}])

    def _upsert(self, table: sa.Table, rows: Sequence[codec.Values]) -> None:
        if rows:
            self._connection.execute(upserting(table, self._connection.dialect.name), rows)


@cache
def upserting(table: sa.Table, dialect: str) -> sa.Insert:
    """Insert, or replace the row of the same primary key, in the words of the database."""
    statement = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    keys = {column.name for column in table.primary_key}
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=sorted(keys), set_=changed)


def _conflict(known: Fact, fact: Fact, differ: Sequence[str]) -> str:
    said = "; ".join(f"{name} was {getattr(known, name)!r}, is {getattr(fact, name)!r}" for name in differ)
    return f"{fact.key}: recorded already with other contents ({said}); a key is used for one fact only"
