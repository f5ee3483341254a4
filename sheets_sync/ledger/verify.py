"""Proof of a ledger: from the events alone, everything else that is kept about stock.

The events of one SKU at one location are read together, one key at a time, so a ledger larger than memory can be
proven.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sheets_sync import stock
from sheets_sync.ledger import codec
from sheets_sync.ledger.schema import balances, events, order_lines
from sheets_sync.model import LONG_AGO, MAIN, Balance, Event, Stock, StockKey
from sheets_sync.places import PlacedKey, placed

Sums = dict[str, dict[PlacedKey, Stock]]
"""By order line: what the standing facts say was moved for it, where and when."""


def problems(connection: Connection) -> list[str]:
    """Every problem, in words."""
    found = list(_missing_ids(connection))
    kept = {b.key: b for b in map(codec.balance_of, connection.execute(sa.select(balances)))}
    moved: Sums = defaultdict(lambda: defaultdict(Stock))
    query = sa.select(events).order_by(events.c.sku, events.c.location, events.c.seq)
    rows = connection.execute(query, execution_options={"yield_per": 1_000})
    for (sku, location), some in groupby(map(codec.event_of, rows), key=lambda e: (e.fact.sku, e.fact.location)):
        key, history = StockKey(sku, location), list(some)
        found += [f"{sku} at {location}: {problem}" for problem in _of_key(key, history, kept.pop(key, None))]
        _add_moves(moved, history)
    found += [f"{key.sku} at {key.location}: a balance without a single event" for key in kept]
    return found + list(_of_lines(connection, moved))


def _missing_ids(connection: Connection) -> Iterator[str]:
    first, last, n = connection.execute(
        sa.select(sa.func.min(events.c.id), sa.func.max(events.c.id), sa.func.count())
    ).one()
    if n and (first, last) != (1, n):
        yield f"{n} events have ids from {first} to {last}; they should count from 1 to {n}: some are missing"


def _of_key(key: StockKey, history: Sequence[Event], kept: Balance | None) -> Iterator[str]:
    yield from _running(history)
    facts = [event.fact for event in history if event.is_fact]
    law, last = stock.fold(facts), history[-1]
    if law != last.balance:
        yield f"its facts come to {_figures(law)}, its last event {last.id} says {_figures(last.balance)}"
    if kept is None:
        yield "no balance is kept for its events"
        return
    proven = _proven(key, history)
    for name in (f.name for f in fields(Balance)):
        have, want = getattr(kept, name), getattr(proven, name)
        if have != want:
            yield f"{name} of its balance is {_told(have)}, its events say {_told(want)}"


def _running(history: Sequence[Event]) -> Iterator[str]:
    """The bank statement: numbers without gaps, each balance the one before plus the change."""
    before, last_id = Stock(), 0
    for number, event in enumerate(history, start=1):
        if event.seq != number:
            yield f"event {event.id} has sequence number {event.seq} where {number} was due: events are missing"
            return
        if event.id <= last_id:
            yield f"event {event.id} comes after event {last_id} in its sequence"
        if event.balance != before.plus(event.change):
            said = f"{_figures(before)} and a change of {_figures(event.change)}"
            yield f"event {event.id} says {_figures(event.balance)} after {said}"
        before, last_id = event.balance, event.id


def _proven(key: StockKey, history: Sequence[Event]) -> Balance:
    facts = [event.fact for event in history if event.is_fact]
    counts = [fact.occurred_at for fact in facts if fact.count is not None]
    return Balance(
        key,
        history[-1].balance,
        history[-1].seq,
        counted=any(fact.count is not None for fact in stock.standing(facts)),
        last_at=max((fact.occurred_at for fact in facts), default=LONG_AGO),
        last_count_at=max(counts, default=LONG_AGO),
        event_id=history[-1].id,
    )


def _add_moves(moved: Sums, history: Sequence[Event]) -> None:
    for fact in stock.standing([event.fact for event in history if event.is_fact]):
        if fact.line:
            of_line = moved[fact.line]
            key = (fact.location, fact.kind, fact.occurred_at)
            of_line[key] = of_line[key].plus(fact.change)


def _of_lines(connection: Connection, moved: Sums) -> Iterator[str]:
    rows = connection.execute(sa.select(order_lines), execution_options={"yield_per": 1_000})
    for line in map(codec.line_of, rows):
        kept = placed(line)
        proven = {key: change for key, change in moved.pop(line.key, {}).items() if any(change)}
        for key in sorted(kept.keys() | proven.keys()):
            have, want = kept.get(key, Stock()), proven.get(key, Stock())
            if have != want:
                place, kind, at = key
                what = f"{kind} of {at.isoformat()}" + (f" at {place}" if place != MAIN else "")
                yield f"line {line.key}: {what} moved {_figures(have)} by its own word, {_figures(want)} by its events"
    for name in moved:
        yield f"line {name}: events name it, but no such line is kept"


def _figures(s: Stock) -> str:
    return f"{s.on_hand}/{s.committed}/{s.available}" + (f" damaged {s.damaged}" if s.damaged else "")


def _told(value: object) -> str:
    if isinstance(value, Stock):
        return _figures(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
