"""Adjustments recorded: rows of the tab (`take`), and single ones from the command line (`adjust`).

The pure side is `adjustments.py`. Ids are kept in the ledger's small state, by Id and by contents.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sheets_sync import adjustments, booking, guard, lines, review
from sheets_sync.adjustments import AFTER, ID, STATUS, Effect, Is, Issued, Known, Row, Situation, Sorted, Wish
from sheets_sync.desk import Desk, reconcile_questions
from sheets_sync.edits import OrderAsked
from sheets_sync.errors import BadInput
from sheets_sync.ledger import Tx, View
from sheets_sync.lines import Policy
from sheets_sync.model import MAIN, Cell, Event, Fact, Kind, Lease, LineState, Question, Stock, StockKey

AGAIN, ORDER = "adjustment", "adjustment_order"
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # none that people take for another


def _by_id(id: str) -> str:
    return f"adjustment:{id}"


def _by_contents(name: str) -> str:
    return f"adjusted:{name}"


@dataclass
class Seen:
    """What one driver of a sheet keeps of the tab between two passes."""

    rows: tuple[Row, ...] = ()
    settled: dict[str, Issued] = field(default_factory=dict)  # recorded Ids: they change no more


@dataclass(frozen=True)
class Taken:
    """What a look at the tab led to: events, and the cells that differ by row. `again`: an Id is on its way."""

    events: tuple[Event, ...] = ()
    cells: tuple[tuple[int, dict[str, Cell]], ...] = ()
    again: bool = False


def take(desk: Desk, look: Sequence[Mapping[str, Cell]], seen: Seen, lease: Lease | None) -> Taken:
    """Record the rows whose Id has landed, issue Ids for new ones, ask about doubtful ones."""
    found, before = adjustments.rows(look), seen.rows
    seen.rows = found
    if not found:
        return Taken()
    with desk.ledger.read() as view:
        started = desk.started_at(view) is not None
        known = _known(view, found, before, seen)
    if not started:
        return Taken(cells=_changed([(row, {STATUS: "waits for Start"}) for row in found]))
    events: list[Event] = []
    shown: list[tuple[Row, dict[str, Cell]]] = []
    asked: list[Question] = []
    again = False
    for item in adjustments.sort(found, before, known):
        again |= item.what in (Is.NEW, Is.LOST) or (item.what is Is.YOUNG and bool(item.id))
        cells, made, question = _one(desk, item, known, lease)
        events += made
        asked += [question] if question else []
        shown.append((item.row, cells))
    _ask(desk, asked, lease)
    return Taken(tuple(events), _changed(shown), again)


def would_record(desk: Desk, look: Sequence[Mapping[str, Cell]]) -> tuple[Fact, ...]:
    """What the complete rows of a look would record, were they to stand; nothing is recorded or asked."""
    found, facts = adjustments.rows(look), list[Fact]()
    with desk.ledger.read() as view:
        known = _known(view, found, (), Seen())
        for item in adjustments.sort(found, found, known):
            if item.what in (Is.NEW, Is.READY) and desk.started_at(view) is not None:
                facts += _would(view, desk, item.row)
    return tuple(facts)


def _would(view: View, desk: Desk, row: Row) -> tuple[Fact, ...]:
    wanted = adjustments.wish(row.cells)
    try:
        effect = adjustments.judge(wanted, f"row {row.number}", _situation(view, desk, wanted), desk.clock())
    except BadInput:
        return ()
    if effect.line is None:
        return (*effect.more, effect.fact) if effect.fact else ()
    policy = booking.policies(view, desk, effect.line.channel).at(effect.line.placed_at)
    lies = booking.places(view, desk, effect.line.channel)
    return lines.settle(effect.line, policy, booking.last_count(view), places=lies, note=wanted.note)[1]


def _known(view: View, found: Sequence[Row], before: Sequence[Row], seen: Seen) -> Known:
    """What the ledger knows of the rows. Of those that stand there recorded, as before, nothing is asked again."""
    old = {(row.number, row.id, row.cells) for row in before if row.id in seen.settled}
    fresh = [row for row in found if (row.number, row.id, row.cells) not in old]
    used = {name: view.get(_by_contents(name), []) for name in {row.digest for row in fresh}}
    said = {name: view.get(review.ADJUSTMENT_SAID + name) for name in used}
    wanted = {row.id for row in found if row.id} | {id for ids in used.values() for id in ids}
    for id in wanted - seen.settled.keys():
        kept = view.get(_by_id(id))
        if kept is not None:
            seen.settled[id] = adjustments.restored(kept)
    known = {id: seen.settled[id] for id in wanted if id in seen.settled}
    seen.settled = {id: issued for id, issued in seen.settled.items() if issued.used}
    return Known(known, used, {name: word for name, word in said.items() if word})


def _one(
    desk: Desk, item: Sorted, known: Known, lease: Lease | None
) -> tuple[dict[str, Cell], list[Event], Question | None]:
    """One row: the cells it should show, what was recorded, what is asked about it."""
    match item.what:
        case Is.NEW:
            return {ID: _issue(desk, item.row, lease), STATUS: item.says}, [], None
        case Is.READY:
            return _record_row(desk, item, lease)
        case Is.LOST:
            return {ID: item.id, STATUS: item.says, AFTER: item.after}, [], None
        case Is.AGAIN:
            return {STATUS: item.says}, [], adjustments.again(item.row, item.id, known.ids[item.id], desk.clock())
        case Is.YOUNG:
            return {}, [], None
        case Is.RECORDED if known.said.get(item.row.digest) == adjustments.SAME + item.id:
            with desk.ledger.begin(lease) as tx:  # it has its Id again; of another such row it is asked anew
                tx.put(review.ADJUSTMENT_SAID + item.row.digest, None)
    return {STATUS: item.says, AFTER: item.after}, [], None


def _issue(desk: Desk, row: Row, lease: Lease | None) -> str:
    with desk.ledger.begin(lease) as tx:
        while tx.get(_by_id(id := "A" + "".join(secrets.choice(_LETTERS) for _ in range(6)))):
            pass
        tx.put(_by_id(id), adjustments.stored(Issued(row.cells, desk.clock())))
        return id


def _record_row(
    desk: Desk, item: Sorted, lease: Lease | None
) -> tuple[dict[str, Cell], list[Event], Question | None]:  # fmt: skip
    row = item.row
    try:
        with desk.ledger.begin(lease) as tx:
            issued = adjustments.restored(tx.get(_by_id(row.id)))
            if issued.used:  # another worker was quicker
                return {STATUS: issued.says, AFTER: issued.after}, [], None
            said = str(tx.get(review.ADJUSTMENT_SAID + row.digest) or "")
            wanted = replace(adjustments.wish(row.cells), order=said if said != adjustments.RECORD else "")
            events, says, asks = _carry_out(tx, desk, wanted, f"adjustment:{row.id}", issued, actor="Adjustments")
            if asks is not None:
                return {STATUS: f"? {asks.text.removeprefix('? ')} See the Review tab."}, [], _is_it(row, asks)
            after = _on_hand(tx, desk, wanted)
            tx.put(_by_id(row.id), adjustments.stored(replace(issued, used=True, says=says, after=after)))
            tx.put(_by_contents(row.digest), [*tx.get(_by_contents(row.digest), []), row.id])
            tx.put(review.ADJUSTMENT_SAID + row.digest, None)
    except BadInput as error:
        return {STATUS: f"? {error}"}, [], None
    desk.wake_others("sheet")
    return {STATUS: says, AFTER: after}, events, None


def adjust(
    desk: Desk, wanted: Wish, *, key: str, actor: str = "cli", plain: bool = False
) -> tuple[list[Event], str]:  # fmt: skip
    """Record one adjustment under the dedup key `key`; its events, and what was recorded in words.

    `plain`: it is no order's, though an order's question fits it (S10). Raises BadInput where it may not be recorded.
    """
    wanted = replace(adjustments.checked(wanted), order="no" if plain else "")
    with desk.ledger.begin() as tx:
        if desk.started_at(tx) is None:
            raise BadInput("Counting has not begun: run `sheets-sync start` first.")
        issued = Issued((), desk.clock())
        events, says, asks = _carry_out(tx, desk, wanted, key, issued, actor=actor)
        if asks is not None:
            raise BadInput(f"{asks.text} Name it with --reference, or say --plain to record it all the same.")
    desk.wake_others()
    return events, says


def _carry_out(
    tx: Tx, desk: Desk, wanted: Wish, key: str, issued: Issued, *, actor: str
) -> tuple[list[Event], str, Question | None]:
    effect = adjustments.judge(wanted, key, _situation(tx, desk, wanted), issued.at, actor=actor)
    if effect.asks is not None:
        return [], "", replace(effect.asks, text=_is_order_text(wanted, effect.asks))
    if effect.line is not None:
        events = booking.settle(tx, desk, effect.line, actor=actor, note=wanted.note)
    else:
        events = tx.append([*effect.more, effect.fact] if effect.fact else [])
    return events, _says(effect, events), None


def _says(effect: Effect, events: Sequence[Event]) -> str:
    what = effect.says
    if effect.fact is not None and effect.fact.kind is not Kind.TRANSFER:
        moved = ", ".join(
            f"{name.replace('_', ' ')} {n:+d}" for name, n in effect.fact.change._asdict().items() if n
        )  # fmt: skip
        what = (f"set to {effect.fact.count}" if effect.fact.count is not None else moved) + effect.says
    number = next((f" (event {e.id})" for e in events if effect.fact is None or e.fact.key == effect.fact.key), "")
    return f"recorded: {what}{number}"


def _on_hand(view: View, desk: Desk, wanted: Wish) -> int:
    """What lies where the row is about; of a transfer, where the units went from."""
    where = adjustments.named(wanted.location, desk.settings.locations.by_title, adjustments.LOCATION)
    return view.balances([wanted.sku])[StockKey(wanted.sku, where)].stock.on_hand


def _situation(view: View, desk: Desk, wanted: Wish) -> Situation:
    titles = desk.settings.locations.by_title
    where = adjustments.named(wanted.location, titles, adjustments.LOCATION)
    to = adjustments.named(wanted.to, titles, adjustments.TO) if wanted.to else ""
    counted = {key.location: b.stock for key, b in view.balances([wanted.sku]).items() if b.counted}
    meant = {where, to} - {MAIN, ""} if MAIN in counted else set[str]()
    of_sku = [line for line in view.lines(skus=[wanted.sku]) if line.counted]
    named = [line for line in of_sku if adjustments.names(line, wanted.reference, desk.titles.get(line.channel, ""))]
    asked = orders_asked(view, [wanted.sku])
    return Situation(
        stock=counted.get(where, Stock() if where in meant else None),
        location=where,
        to=to,
        titles=titles,
        uncounted=frozenset(meant - counted.keys()),
        lines=tuple(_with_policy(view, desk, named)),
        asked=tuple(asked),
        asked_lines=lines_asked(view, desk, asked),
    )


def orders_asked(view: View, skus: Iterable[str]) -> list[Question]:
    """S10: the open questions about cancelled or returned units of these SKUs, the oldest first."""
    wanted = set(skus)
    if not wanted:
        return []
    return [q for q in view.questions() if q.kind in (lines.CANCELLATION, lines.RETURN) and q.sku in wanted]


def orders_known(view: View, desk: Desk, skus: Iterable[str]) -> dict[str, list[OrderAsked]]:
    """S10: by SKU, the orders whose open questions a plus may be meant to answer."""
    asked = orders_asked(view, skus)
    about = lines_asked(view, desk, asked)
    out: dict[str, list[OrderAsked]] = {}
    for question in asked:
        line, policy = about.get(str(question.about.get("line")), (None, None))
        if line is not None and policy is not None:
            units = lines.asked_units(line, question.kind, policy)
            out.setdefault(question.sku, []).append(
                OrderAsked(question.kind, units, question.reference, line.key)
            )  # fmt: skip
    return out


def orders_held(asked: Iterable[Question]) -> dict[tuple[str, str], Question]:
    """The typed figures of which it is asked already whether an order is meant, by (exchange, SKU)."""
    return {(str(q.about.get("exchange")), q.sku): q for q in asked if q.kind == "is_order"}


def lines_asked(view: View, desk: Desk, asked: Sequence[Question]) -> Mapping[str, tuple[LineState, Policy]]:
    """The lines of these questions by their key, each with the policy in force for it."""
    if not asked:
        return {}
    keys = {str(q.about.get("line")) for q in asked}
    found = [line for line in view.lines(skus={q.sku for q in asked}) if line.key in keys]
    return {line.key: (line, policy) for line, policy in _with_policy(view, desk, found)}


def _with_policy(view: View, desk: Desk, found: Sequence[LineState]) -> list[tuple[LineState, Policy]]:
    return [(line, booking.policies(view, desk, line.channel).at(line.placed_at)) for line in found]


# questions about rows -------------------------------------------------------------------------------------------


def _is_it(row: Row, asks: Question) -> Question:
    text = f"Row {row.number} of Adjustments: {asks.text}"
    about: dict[str, Cell] = {"digest": row.digest, "line": asks.about.get("line")}
    return guard.ask(ORDER, asks.sku, text, asks.asked_at, reference=asks.reference, about=about)


def _is_order_text(wanted: Wish, asks: Question) -> str:
    return guard.is_order(wanted.sku, wanted.change or 0, asks.reference, asks.kind)


def _ask(desk: Desk, asked: Sequence[Question], lease: Lease | None) -> None:
    """Ask what is doubtful, and close what has been put right in the tab."""
    with desk.ledger.read() as view:
        same = {q.key for q in view.questions() if q.kind in (AGAIN, ORDER)} == {q.key for q in asked}
    if same:
        return
    now = [replace(q, asked_at=desk.clock()) for q in asked]
    with desk.ledger.begin(lease) as tx:
        reconcile_questions(tx, now, lambda q: q.kind in (AGAIN, ORDER), "its row has been put right")


def _changed(shown: Iterable[tuple[Row, Mapping[str, Cell]]]) -> tuple[tuple[int, dict[str, Cell]], ...]:
    out = []
    for row, cells in shown:
        shows = {ID: row.id or None, STATUS: row.shows[0], AFTER: row.shows[1]}
        differ = {header: value for header, value in cells.items() if shows[header] != value}
        if differ:
            out.append((row.number, differ))
    return tuple(out)
