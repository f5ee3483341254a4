"""Nouns to rows and back. What is searched by is a column; the rest is JSON, read back by the nouns' own types.

A value comes back equal to what was stored, and of the same type: a test holds it for every noun.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from pydantic import TypeAdapter

from sheets_sync.model import (
    Balance,
    Event,
    Fact,
    Kind,
    LineState,
    Listing,
    Question,
    Stock,
    StockKey,
    StoredDelivery,
)

Values = dict[str, Any]
"""One row, by the names of its columns."""

_LINE = TypeAdapter(LineState)
_MOVED = TypeAdapter(list[tuple[Kind, datetime, Stock]])
_LISTING = TypeAdapter(Listing)
_QUESTION = TypeAdapter(Question)


def dump_json(value: Any) -> str:
    """Small JSON: what `put`, `take` and `add_put_backs` are given. Raises TypeError for what JSON cannot hold."""
    return orjson.dumps(value).decode()


def load_json(text: str) -> Any:
    return orjson.loads(text)


# events and balances --------------------------------------------------------------------------------------------


def event_values(event: Event) -> Values:
    fact = event.fact
    return {
        "id": event.id,
        "sku": fact.sku,
        "location": fact.location,
        "seq": event.seq,
        "kind": fact.kind.value,
        "key": fact.key,
        "occurred_at": fact.occurred_at,
        "recorded_at": event.recorded_at,
        "change_on_hand": event.change.on_hand,
        "change_committed": event.change.committed,
        "change_damaged": event.change.damaged,
        "on_hand": event.balance.on_hand,
        "committed": event.balance.committed,
        "damaged": event.balance.damaged,
        "counted": fact.count,
        "strikes": fact.strikes,
        "corrects": event.corrects or None,
        "apart": dump_json(sorted(fact.apart)) if fact.apart else None,
        "source": fact.source,
        "actor": fact.actor,
        "reference": fact.reference,
        "line": fact.line,
        "reason": fact.reason,
        "note": fact.note,
        "batch": fact.batch,
    }


def event_of(row: sa.Row[Any]) -> Event:
    change = Stock(row.change_on_hand, row.change_committed, row.change_damaged)
    fact = Fact(
        key=row.key,
        sku=row.sku,
        kind=Kind(row.kind),
        occurred_at=row.occurred_at,
        change=change,
        count=row.counted,
        strikes=row.strikes,
        location=row.location,
        source=row.source,
        actor=row.actor,
        reference=row.reference,
        line=row.line,
        apart=frozenset(load_json(row.apart)) if row.apart else frozenset(),
        reason=row.reason,
        note=row.note,
        batch=row.batch,
    )
    balance = Stock(row.on_hand, row.committed, row.damaged)
    return Event(row.id, row.seq, fact, change, balance, row.recorded_at, row.corrects or "")


def balance_values(balance: Balance) -> Values:
    return {
        "sku": balance.key.sku,
        "location": balance.key.location,
        "on_hand": balance.stock.on_hand,
        "committed": balance.stock.committed,
        "damaged": balance.stock.damaged,
        "seq": balance.seq,
        "counted": balance.counted,
        "last_at": balance.last_at,
        "last_count_at": balance.last_count_at,
        "event_id": balance.event_id,
    }


def balance_of(row: sa.Row[Any]) -> Balance:
    return Balance(
        StockKey(row.sku, row.location),
        Stock(row.on_hand, row.committed, row.damaged),
        row.seq,
        row.counted,
        row.last_at,
        row.last_count_at,
        row.event_id,
    )


# order lines and listings ---------------------------------------------------------------------------------------


def is_open(line: LineState) -> bool:
    """Units are promised and have not left, or the line waits for a SKU (O8)."""
    return line.sku is None or sum(m.committed for m in line.moved.values()) != 0


def line_values(line: LineState) -> Values:
    moved = [(kind, at, change) for (kind, at), change in line.moved.items()]
    body = _LINE.dump_json(line, exclude={"moved"}).decode()
    return {
        "key": line.key,
        "channel": line.channel,
        "order_id": line.order_id,
        "sku": line.sku,
        "open": is_open(line),
        "state": f'{{"line":{body},"moved":{_MOVED.dump_json(moved).decode()}}}',
    }


def line_of(row: sa.Row[Any]) -> LineState:
    stored = load_json(row.state)
    moved = {(kind, at): change for kind, at, change in _MOVED.validate_python(stored["moved"])}
    return _LINE.validate_python({**stored["line"], "moved": moved})


def listing_values(listing: Listing) -> Values:
    return {
        "channel": listing.channel,
        "listing": listing.ref.listing,
        "parent": listing.ref.parent,
        "place": listing.ref.place,
        "sku": listing.sku,
        "state": _LISTING.dump_json(listing).decode(),
    }


def listing_of(row: sa.Row[Any]) -> Listing:
    return _LISTING.validate_json(row.state)


# questions and deliveries ---------------------------------------------------------------------------------------


def question_values(question: Question) -> Values:
    """`contents` leaves out when it was asked: the same question later is the same question."""
    return {
        "key": question.key,
        "sku": question.sku,
        "contents": _QUESTION.dump_json(question, exclude={"asked_at"}).decode(),
        "asked_at": question.asked_at,
        "open": True,
        "answered": False,
        "why": "",
    }


def question_of(row: sa.Row[Any]) -> Question:
    return _QUESTION.validate_python({**load_json(row.contents), "asked_at": row.asked_at})


def delivery_values(delivery: StoredDelivery) -> Values:
    return {
        "channel": delivery.channel,
        "id": delivery.id,
        "topic": delivery.topic,
        "headers": dump_json(dict(delivery.headers)),
        "body": delivery.body,
        "received_at": delivery.received_at,
        "state": delivery.state,
        "note": delivery.note,
    }


def delivery_of(row: sa.Row[Any]) -> StoredDelivery:
    headers: Mapping[str, str] = load_json(row.headers)
    return StoredDelivery(
        row.channel, row.id, row.topic, headers, bytes(row.body), row.received_at, row.state, row.note
    )
