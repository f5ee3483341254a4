"""Law 2: the last standing count is right about everything before it.

`post` turns one fact into its event and, where the running sum of the events is not what the law says, into a second
event, the *correction*, that restores the count in question. Facts are posted in the order in which we learn of them;
the law speaks of the order in which they happened, and `fold` is that law, over all facts of one SKU at one location.
After every `post` the balance equals the fold.

Most facts are later than every count, or are a count later than every fact. For those the running sum *is* the fold,
and `post` needs no history (`needs_history`): the fast road. All others fold the history of their SKU again, which
costs time in proportion to its length; a ledger has few of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

from sheets_sync.errors import AlreadyReversed, BadInput, LedgerBroken
from sheets_sync.model import COUNT_KINDS, Balance, Event, Fact, Kind, Stock

CORRECTION = "correction:"
"""What the dedup key of a correction begins with; the key of the fact that called for it follows."""

MOST = 10**12
"""Units beyond which no figure is believed: the sum of many still fits every database's whole numbers."""


# what a fact may be ---------------------------------------------------------------------------------------------


def checked(fact: Fact) -> Fact:
    """The fact as it is recorded: valid, and its time in UTC. Raises BadInput that names the field."""
    _check_text(fact)
    _check_form(fact)
    for name, n in (*fact.change._asdict().items(), ("count", fact.count)):
        if n is not None and type(n) is not int:
            raise BadInput(f"{fact.key}: {name} must be a whole number of units, not {n!r}")
        if n is not None and abs(n) > MOST:
            raise BadInput(f"{fact.key}: {name} is {n}; more than {MOST} units are surely a slip of the keyboard")
    if fact.occurred_at.tzinfo is None:
        raise BadInput(f"{fact.key}: occurred_at has no time zone: {fact.occurred_at.isoformat()}")
    if fact.occurred_at.tzinfo is UTC:
        return fact
    return replace(fact, occurred_at=fact.occurred_at.astimezone(UTC))


def _check_text(fact: Fact) -> None:
    for name in ("key", "sku", "location"):
        if not getattr(fact, name):
            raise BadInput(f"{name} of a fact is missing: {fact}")
    if fact.key.startswith(CORRECTION):
        raise BadInput(f"{fact.key}: keys that begin with {CORRECTION!r} belong to the ledger's own corrections")
    for name in _TEXTS:
        text = getattr(fact, name)
        if text and _UNSTORABLE.search(text):
            raise BadInput(f"{fact.key}: {name} has a character that no database can store: {text!r}; remove it")


_TEXTS = ("key", "sku", "location", "strikes", "source", "actor", "reference", "line", "reason", "note", "batch")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL stores no NUL, and no database half a character


def _check_form(fact: Fact) -> None:
    if fact.kind is Kind.CORRECTION:
        raise BadInput(f"{fact.key}: a correction is no fact; the ledger makes them itself")
    if (fact.strikes is not None) != (fact.kind is Kind.REVERSAL):
        raise BadInput(f"{fact.key}: a reversal, and nothing else, names the fact that it strikes")
    if fact.strikes is not None and fact.count is not None:
        raise BadInput(f"{fact.key}: one fact cannot both count and strike")
    if fact.apart and fact.count is None:
        raise BadInput(f"{fact.key}: only a count names lines that were packed apart")
    if fact.kind in COUNT_KINDS and fact.count is None:
        raise BadInput(f"{fact.key}: {fact.kind} needs a count")


def differing(one: Fact, other: Fact) -> list[str]:
    """Names of the fields in which two facts of one key differ, of those that the caller chose."""
    a, b = _as_given(one), _as_given(other)
    return [f.name for f in fields(Fact) if getattr(a, f.name) != getattr(b, f.name)]


def _as_given(fact: Fact) -> Fact:
    """A fact without what the ledger worked out: the change of a count or a strike."""
    is_move = fact.count is None and fact.strikes is None
    return fact if is_move else replace(fact, change=Stock())


# the law --------------------------------------------------------------------------------------------------------


def standing(facts: Iterable[Fact]) -> list[Fact]:
    """The moves and counts that no standing strike undoes, in the order given. A fact is struck at most once."""
    facts = list(facts)
    struck_by = {f.strikes: f.key for f in facts if f.strikes is not None}

    def stands(key: str) -> bool:
        strikes = 0
        while key in struck_by:
            key = struck_by[key]
            strikes += 1
        return strikes % 2 == 0

    return [f for f in facts if f.strikes is None and stands(f.key)]


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Standing facts in the order in which they happened.

    A fact at the very moment of a count has been seen by it, so counts come last in their moment; of two counts of one
    moment the later recorded stands, so they stay as recorded (the sort is stable).
    """
    return sorted(standing(facts), key=lambda f: (f.occurred_at, f.count is not None))


def on_hand(facts: Iterable[Fact], until: datetime | None = None) -> int:
    """The last standing count plus what happened after it, up to and including `until`.

    Units packed apart (C3) were added to their count, so what has left of them by then is taken off it, whatever its
    time.
    """
    n = 0
    by_line: Counter[str] = Counter()
    for fact in in_order(facts):
        if until is not None and fact.occurred_at > until:
            break
        if fact.count is None:
            n += fact.change.on_hand
            by_line[fact.line] += fact.change.on_hand
        else:
            n = fact.count + sum(by_line[line] for line in fact.apart)
    return n


def fold(facts: Iterable[Fact]) -> Stock:
    """What all facts of one SKU at one location, in the order of recording, say of it.

    on_hand is the law's; committed and damaged are plain sums of the standing moves.
    """
    facts = list(facts)
    moves = [f.change for f in standing(facts) if f.count is None]
    return Stock(on_hand(facts), sum(m.committed for m in moves), sum(m.damaged for m in moves))


# posting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Verdict:
    """What one fact does: the change it makes, what a correction must add to that, and whose count it restores."""

    change: Stock
    correction: int = 0
    corrects: str = ""
    counted: bool = False


def needs_history(balance: Balance, fact: Fact) -> bool:
    """False where the running sum is the law: a move after every count, a count after every fact."""
    if fact.strikes is not None:
        return True
    if fact.count is not None:
        return bool(fact.apart) or fact.occurred_at < balance.last_at
    return fact.occurred_at <= balance.last_count_at


def seen(balance: Balance, fact: Fact) -> Balance:
    """The balance with its times moved on by a fact: all that `needs_history` asks of the next one."""
    count_at = balance.last_count_at if fact.count is None else max(balance.last_count_at, fact.occurred_at)
    return Balance(
        balance.key, balance.stock, balance.seq, balance.counted, max(balance.last_at, fact.occurred_at), count_at,
        balance.event_id,
    )  # fmt: skip


@dataclass(frozen=True)
class Newest:
    """What a strike has to know of the newest event of its key, where that is what it strikes: nothing was built on it,
    so that what was before it stands again. `counted`: a count stands besides.
    """

    seq: int
    change: Stock
    counted: bool


def post(
    balance: Balance, history: Sequence[Event], fact: Fact, *, recorded_at: datetime, next_id: int,
    newest: Newest | None = None,
) -> tuple[tuple[Event, ...], Balance]:  # fmt: skip
    """One fact, recorded: its event, perhaps a correction, and the balance after them.

    `history` is every event of the balance's key in the order of recording; it may be empty where `needs_history` is
    False, or where a strike's `newest` is given. Ids count on from `next_id`. Raises BadInput for a strike of what is
    not there or is no fact, AlreadyReversed for a second strike of one fact.
    """
    if newest is not None and newest.seq == balance.seq:
        verdict = _Verdict(Stock().minus(newest.change), counted=newest.counted)
    elif needs_history(balance, fact):
        verdict = _by_law(balance, history, fact)
    else:
        verdict = _by_sum(balance, fact)
    event = Event(
        id=next_id,
        seq=balance.seq + 1,
        fact=fact if fact.change == verdict.change else replace(fact, change=verdict.change),
        change=verdict.change,
        balance=balance.stock.plus(verdict.change),
        recorded_at=recorded_at,
    )
    events: tuple[Event, ...] = (event,)
    if verdict.correction:
        events = (event, _correction(event, verdict))
    last = events[-1]
    times = seen(balance, fact)
    after = Balance(
        balance.key, last.balance, last.seq, verdict.counted, times.last_at, times.last_count_at, last.id
    )  # fmt: skip
    return events, after


def _correction(event: Event, verdict: _Verdict) -> Event:
    change = Stock(on_hand=verdict.correction)
    told = event.fact
    fact = Fact(
        key=CORRECTION + told.key,
        sku=told.sku,
        kind=Kind.CORRECTION,
        occurred_at=told.occurred_at,
        change=change,
        location=told.location,
        source=told.source,
        actor=told.actor,
        reference=told.reference,
        batch=told.batch,
    )
    return Event(
        id=event.id + 1,
        seq=event.seq + 1,
        fact=fact,
        change=change,
        balance=event.balance.plus(change),
        recorded_at=event.recorded_at,
        corrects=verdict.corrects,
    )


def _by_sum(balance: Balance, fact: Fact) -> _Verdict:
    """The fast road."""
    if fact.count is None:
        return _Verdict(fact.change, counted=balance.counted)
    return _Verdict(Stock(on_hand=fact.count - balance.stock.on_hand), counted=True)


def _by_law(balance: Balance, history: Sequence[Event], fact: Fact) -> _Verdict:
    """The slow road: fold all that is known with and without the fact."""
    if len(history) != balance.seq:
        raise LedgerBroken(f"{balance.key}: {len(history)} events where its balance says {balance.seq}; run verify")
    before = [e.fact for e in history if e.is_fact]
    facts = [*before, fact]
    if fact.strikes is not None:
        change = Stock().minus(_struck(history, fact).change)
    elif fact.count is not None:
        change = Stock(on_hand=on_hand(facts, fact.occurred_at) - on_hand(before, fact.occurred_at))
    else:
        change = fact.change
    counts = [f for f in in_order(facts) if f.count is not None]
    return _Verdict(
        change,
        correction=on_hand(facts) - balance.stock.on_hand - change.on_hand,
        corrects=counts[-1].key if counts else _root(before, fact).key,
        counted=bool(counts),
    )


def _struck(history: Sequence[Event], strike: Fact) -> Event:
    """The event that a strike undoes."""
    found = next((e for e in history if e.fact.key == strike.strikes), None)
    if found is None:
        raise BadInput(
            f"{strike.key}: nothing was recorded as {strike.strikes!r} for {strike.sku} at {strike.location}; "
            "only what was recorded there can be undone"
        )
    if not found.is_fact:
        cause = found.fact.key.removeprefix(CORRECTION)
        raise BadInput(
            f"{strike.key}: {found.fact.key!r} is a correction and cannot be undone by itself: "
            f"undo the fact {cause!r} or the count {found.corrects!r} instead"
        )
    earlier = next((e for e in history if e.fact.strikes == strike.strikes), None)
    if earlier is not None:
        raise AlreadyReversed(
            f"{strike.key}: {strike.strikes!r} was undone already by {earlier.fact.key!r}, event {earlier.id}"
        )
    return found


def _root(facts: Sequence[Fact], fact: Fact) -> Fact:
    """What a strike, of a strike, of … is about in the end."""
    by_key = {f.key: f for f in facts}
    while fact.strikes is not None:
        fact = by_key[fact.strikes]
    return fact
