"""A person's word carried out: answers to questions, and the undoing of events. One transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sheets_sync import (
    answered,
    booking,
    edits,
    gaps,
    kits_tab,
    knowing,
    lines,
    masses,
    newcomers,
    renaming,
    review,
    sources,
    startover,
)
from sheets_sync.desk import ROWS, Desk, start_batch
from sheets_sync.errors import BadInput
from sheets_sync.ledger import Tx, View
from sheets_sync.model import MAIN, Event, Fact, Kind, LineState, Origin, Question, StockKey

CHUNK = 5_000
"""Facts of one statement, and SKUs whose histories are in memory at once."""


def answer(desk: Desk, id: str, word: str, *, units: int | None = None, note: str = "", actor: str = "") -> list[Event]:
    """Answer the open question `id` (as `sheets-sync review` and the Review tab show it) with `word`.

    Raises BadInput, saying what is possible, where there is no such question or answer. Nothing changes then.
    """
    with desk.ledger.begin() as tx:
        question = _question(tx, id)
        effect = review.effect(
            question, word, _situation(tx, desk, question), desk.clock(), units=units, note=note, actor=actor
        )  # fmt: skip
        events = _carry_out(tx, desk, question, effect, actor)
        why = f"answered: {review.meant(question, word)}{_numbers(events)}"
        tx.close_questions([question.key], why, answered=not effect.remember)
        answered.note(tx, review.short_id(question), why, desk.clock())
        if effect.line is not None:  # a part may be left to be answered
            booking.ask_about(tx, desk, _line(tx, effect.line.key))
    desk.wake_others()
    return events


def open_question(desk: Desk, id: str) -> Question:
    """The open question of that Id. Raises BadInput where there is none."""
    with desk.ledger.read() as view:
        return _question(view, id)


def _numbers(events: Sequence[Event]) -> str:
    """The events that came of an answer, for people."""
    if not events:
        return ""
    first, last = events[0].id, events[-1].id
    return f", event {first}" if first == last else f", events {first} to {last}"


def undo(desk: Desk, what: str, *, actor: str = "", note: str = "") -> list[Event]:
    """Strike one event (its number) or a whole batch (its id); law 2 says what is on hand then.

    A line of an order is struck whole: "do not count this line" (O7). The openings of Start end it (B6, `startover`).
    Raises BadInput where there is nothing to undo.
    """
    with desk.ledger.begin() as tx:
        recorded = strike(tx, desk, what, actor=actor, note=note)
    desk.wake_others()
    return recorded


def strike(tx: Tx, desk: Desk, what: str, *, actor: str = "", note: str = "") -> list[Event]:
    """`undo`, in the caller's transaction."""
    if what.strip() == start_batch(desk, tx) and desk.started_at(tx) is not None:  # B6
        return startover.undo_start(tx, desk, actor=actor, note=note)
    events, at = _meant(tx, what), desk.clock()
    keys = sorted({e.fact.line for e in events if e.fact.line})
    recorded = [event for key in keys for event in _uncount(tx, desk, key, actor)]
    return recorded + _strike_all(tx, [_strike(e, at, actor, note) for e in events if not e.fact.line and e.is_fact])


def _question(view: View, id: str) -> Question:
    wanted = id.strip().lower()
    found = [q for q in view.questions() if review.short_id(q) == wanted]
    if not found:
        raise BadInput(f"There is no open question {id!r}; `sheets-sync review` lists those that are.")
    return found[0]


def _situation(tx: Tx, desk: Desk, question: Question) -> review.Situation:
    place = str(question.about.get("location") or MAIN)  # what is asked about a count in the sheet is the main one's
    balance = tx.balances([question.sku]).get(StockKey(question.sku, place))
    key = review.line_key(question)
    line = _line(tx, key) if key else None
    policy = booking.policies(tx, desk, line.channel).at(line.placed_at) if line else lines.ASK
    return review.Situation(
        stock=balance.stock if balance and balance.counted else None,
        last_edit=tx.last_edits([question.sku]).get(question.sku),
        opened_at=desk.opened_at(tx),
        line=line,
        policy=policy,
        counted_at=booking.last_count(tx)(question.sku) if line else None,
        known=_known(tx, desk, question),
    )


def _known(tx: Tx, desk: Desk, question: Question) -> edits.Known | None:
    """What is known of the rows of a hold that was found in an image."""
    if question.kind != masses.MASS or question.origin is not Origin.IMAGE:
        return None
    pairs = gaps.pairs_of(question)
    return knowing.known_of(tx, desk, frozenset(sku for _, sku in pairs), pairs)


def _carry_out(tx: Tx, desk: Desk, question: Question, effect: review.Effect, actor: str) -> list[Event]:
    events = tx.append(effect.facts)
    tx.take(effect.taken)
    tx.ask(effect.ask)
    for name, word in effect.remember.items():
        tx.put(name, word)
    if effect.line is not None:
        events += booking.settle(tx, desk, effect.line, actor=actor, note=effect.note, ask=False)
    if effect.makes_kit:
        events += kits_tab.make_kit(tx, desk, question, actor)
    if effect.opens:
        events += newcomers.open_with_its_figure(tx, desk, question, actor)
    if effect.source:
        events += sources.answered(tx, desk, question, effect.source, actor)
    if effect.undo:
        events += strike(tx, desk, effect.undo, actor=actor, note=effect.note)
    if effect.put_back_rows:
        tx.put(ROWS, sorted(set(tx.get(ROWS, ())) - set(effect.put_back_rows)))
    for sku in effect.archive:
        renaming.archive(tx, sku)
    if effect.rename:
        events += renaming.rename(tx, desk, *effect.rename, actor=actor)
    return events


def _meant(tx: Tx, what: str) -> Sequence[Event]:
    number = what.strip().removeprefix("#")
    if number.isdigit():
        found = tx.events(after=int(number) - 1, limit=1)
        events = [e for e in found if e.id == int(number)]
        if events and events[0].fact.kind is Kind.TRANSFER:  # both of its legs, or units would be in two places
            events = [e for e in tx.events(batch=events[0].fact.batch) if e.fact.kind is Kind.TRANSFER]
    else:
        events = [e for e in tx.events(batch=what.strip()) if e.fact.kind is not Kind.CORRECTION]
    if not events:
        raise BadInput(f"There is no event or batch {what!r}; `sheets-sync ledger show` lists them.")
    if not events[0].is_fact:
        raise BadInput(
            f"Event {events[0].id} is a correction: it follows from others. Undo the fact or the count that it names "
            f"({events[0].corrects or 'see its note'})."
        )
    return events


def _uncount(tx: Tx, desk: Desk, key: str, actor: str) -> list[Event]:
    line = _line(tx, key)
    return booking.settle(tx, desk, replace(line, counted=not line.counted), actor=actor)


def _line(tx: Tx, key: str) -> LineState:
    channel, rest = key.split("/", 1)
    order_id = rest.rsplit("/", 1)[0]
    for line in tx.lines(channel, order_id=order_id):
        if line.key == key:
            return line
    raise BadInput(f"The order line {key} is not in the ledger any more.")


def _strike_all(tx: Tx, strikes: Sequence[Fact]) -> list[Event]:
    """All of them in one transaction; a stock-take's hundred thousand in statements of bounded size."""
    recorded: list[Event] = []
    for start in range(0, len(strikes), CHUNK):
        some = strikes[start : start + CHUNK]
        done = next(iter(tx.events_by_key(fact.key for fact in some)), None)
        if done is not None:
            raise BadInput(
                f"{done.fact.reference.capitalize()} is undone already, by event {done.id}. To bring it back, undo "
                "that one."
            )
        recorded += tx.append(some)
    return recorded


def _strike(event: Event, at: datetime, actor: str, note: str) -> Fact:
    return Fact(
        f"undo:{event.fact.key}", event.fact.sku, Kind.REVERSAL, at, strikes=event.fact.key,
        location=event.fact.location, source="undo", actor=actor, reference=f"event {event.id}", note=note,
        batch=f"undo-{at.isoformat()}",
    )  # fmt: skip
