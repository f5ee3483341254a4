"""Rows of the Adjustments tab: `sort` says what each is, `judge` what one would record. Pure.

A row that a person appends is taken in two steps (DESIGN.md section 4). Once it is complete and stands unchanged over
two reads it gets an Id, issued for just these contents. Only where a later read finds that Id beside those contents has
it landed on that very row, and is recorded, once. So an Id that fell on another row, because rows moved meanwhile, does
nothing: its contents are others. A copied row carries a used Id. A row that lost its Id (an old version came back, or
another row's Id fell on it) is known by its contents: they are recorded, and that Id stands nowhere.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sheets_sync import guard, lines, review
from sheets_sync.errors import BadInput
from sheets_sync.lines import Policy
from sheets_sync.model import MAIN, Cell, Fact, Kind, LineState, Question, Reason, Said, Stock

SKU, CHANGE, SET_TO, REASON, REFERENCE, NOTE = "SKU", "Change", "Set to", "Reason", "Reference", "Note"
TYPED = (SKU, CHANGE, SET_TO, REASON, REFERENCE, NOTE)
LOCATION, TO = "Location", "To location"
"""The columns that there are with several locations. Where both are blank, a row is what it was without them."""
ID, STATUS, AFTER = "Id", "Status", "On hand after"
TAKING = "taking it…"

SAME, RECORD = "same:", "record"
"""Of a row that equals a recorded one whose Id is gone, a person says: it is that one (its Id follows), or one more."""


@dataclass(frozen=True)
class Row:
    """One row as a read shows it. `cells` are those that a person writes: TYPED, and where, if that is said."""

    number: int
    id: str
    cells: tuple[Cell, ...]
    shows: tuple[Cell, Cell] = (None, None)  # its Status and On hand after

    @property
    def digest(self) -> str:
        """The same contents, the same text."""
        return digest(self.cells)


@dataclass(frozen=True)
class Issued:
    """What the ledger keeps of an Id: for which contents it was issued and when, and what it recorded."""

    cells: tuple[Cell, ...]
    at: datetime
    used: bool = False
    says: str = ""  # what was recorded, for Status
    after: int | None = None


@dataclass(frozen=True)
class Wish:
    """What a row, or the command line, asks for. One of `change` and `set_to` is given."""

    sku: str
    change: int | None = None
    set_to: int | None = None
    reason: str = ""
    reference: str = ""
    note: str = ""
    order: str = ""  # Review said so: the order line that it is about, or "no"
    location: str = ""  # where, as people call it; "": at the main location
    to: str = ""  # and where units are moved to from there: a transfer


def digest(cells: Sequence[Cell]) -> str:
    """A short name for contents."""
    return hashlib.sha256(json.dumps(list(cells), ensure_ascii=False).encode()).hexdigest()[:20]


def rows(look: Iterable[Mapping[str, Cell]]) -> tuple[Row, ...]:
    """The rows in which a person wrote something."""
    found = (
        Row(
            int(str(r["_row"])),
            _text(r.get(ID)),
            tuple(_trimmed(r.get(h)) for h in TYPED) + _where(r),
            (r.get(STATUS), r.get(AFTER)),
        )
        for r in look
    )
    return tuple(row for row in found if any(cell is not None for cell in row.cells))


def _where(cells: Mapping[str, Cell]) -> tuple[Cell, ...]:
    said = tuple(_trimmed(cells.get(h)) for h in (LOCATION, TO))
    return said if any(cell is not None for cell in said) else ()


def wish(cells: Sequence[Cell]) -> Wish:
    """What a row asks for. Raises BadInput, naming the column, where it is not complete."""
    sku, change, set_to, reason, reference, note, *where = cells
    location, to = map(_text, where or (None, None))
    if not isinstance(sku, str):
        raise BadInput(
            f"SKU: {'missing' if sku is None else f'{guard.shown(sku)} is a number'}; write it as plain text."
        )
    if (change is None) == (set_to is None):
        raise BadInput("Fill in Change or Set to, one of the two.")
    if change is not None and (type(change) is not int or change == 0):
        raise BadInput(f"Change: {guard.shown(change)} is not a whole number of units, like 3 or -2.")
    if set_to is not None and not guard.is_count(set_to):
        raise BadInput(f"Set to: {guard.shown(set_to)} is not a whole number of units, 0 or more.")
    return checked(
        Wish(sku, _int(change), _int(set_to), _text(reason).lower(), _text(reference), _text(note), "", location, to)
    )  # fmt: skip


def checked(wanted: Wish) -> Wish:
    """The wish, if its reason is one of ours and fits. Raises BadInput."""
    reasons = [str(reason) for reason in Reason]
    if wanted.reason and wanted.reason not in reasons:
        raise BadInput(f"Reason: {wanted.reason!r} is none of {', '.join(reasons)}; put your own words into Note.")
    if wanted.set_to is not None and wanted.reason in (Reason.DAMAGE, Reason.REPAIRED, Reason.DISPOSED):
        raise BadInput(f"Reason: {wanted.reason!r} moves a number of units: give it in Change, not in Set to.")
    if wanted.to and (wanted.change is None or wanted.change < 1):
        raise BadInput(f"{TO}: a transfer moves a number of units: give it in Change, like 3.")
    if wanted.to and wanted.reason:
        raise BadInput(f"Reason: a transfer has none; put your own words into Note, or leave {TO} blank.")
    return wanted


def named(said: str, titles: Mapping[str, str], column: str) -> str:
    """The name of the location that a person called so; "" is the main one. `titles` are all of them, by name.

    Raises BadInput, naming the column, where there is no such location.
    """
    known = {word.casefold(): name for name, title in titles.items() for word in (name, title)}
    name = known.get(" ".join(said.split()).casefold()) if said else MAIN
    if name is None:
        raise BadInput(f"{column}: {said!r} is none of your locations: {', '.join(titles.values())}.")
    return name


# which rows to do what with -------------------------------------------------------------------------------------


class Is(Enum):
    """What a row is."""

    INCOMPLETE = "something is missing or wrong in it"
    YOUNG = "it has not stood over two reads yet"
    NEW = "it gets an Id"
    READY = "its Id has landed: it is recorded"
    RECORDED = "it was recorded"
    EDITED = "it was recorded with other contents"
    COPIED = "its Id is used by another row, or is not ours"
    LOST = "it is a recorded row that another row's Id fell on: it gets its own back"
    AGAIN = "it equals a recorded row whose Id is gone: asked"


@dataclass(frozen=True)
class Sorted:
    """A row and what it is. `id`: the Id in question; `says`: words for its Status."""

    row: Row
    what: Is
    id: str = ""
    says: str = ""
    after: int | None = None


@dataclass(frozen=True)
class Known:
    """What the ledger knows of the rows of a look."""

    ids: Mapping[str, Issued]  # of the Ids that stand in the rows, and of all that `used` names
    used: Mapping[str, Sequence[str]] = field(default_factory=dict)  # digest -> the Ids that recorded such contents
    said: Mapping[str, str] = field(default_factory=dict)  # digest -> SAME and the Id, or RECORD


def sort(found: Sequence[Row], before: Sequence[Row], known: Known) -> list[Sorted]:
    """What each row is. `before` are the rows of the read before this one."""
    work = _Sorting(found, before, known)
    return [work.one(row) for row in found]


class _Sorting:
    def __init__(self, found: Sequence[Row], before: Sequence[Row], known: Known) -> None:
        self.known = known
        self.before = {row.number: (row.id, row.cells) for row in before}
        self.standing = {row.id for row in found if row.id}
        self.owners: dict[str, int] = {}
        for row in found:  # of rows with one Id the one with its contents has it, the topmost of several
            issued = known.ids.get(row.id)
            if issued is not None and issued.cells == row.cells:
                self.owners.setdefault(row.id, row.number)
        self.free = Counter[str]()  # recorded contents whose Id stands nowhere, each to be matched once
        for name, ids in known.used.items():
            self.free[name] = sum(id not in self.standing for id in ids)

    def one(self, row: Row) -> Sorted:
        issued = self.known.ids.get(row.id) if row.id else None
        stands = self.before.get(row.number) == (row.id, row.cells)
        if issued is not None and issued.used:
            return self._used(row, issued)
        if row.id and issued is None:
            return Sorted(row, Is.COPIED, row.id, "? This Id is not one of ours. Clear the Id cell to have it taken.")
        if issued is not None and issued.cells == row.cells:
            if self.owners[row.id] != row.number:
                return Sorted(row, Is.COPIED, row.id, _copied(self.owners[row.id]))
            return Sorted(row, Is.READY if stands else Is.YOUNG, row.id, TAKING)
        try:
            wish(row.cells)
        except BadInput as error:
            return Sorted(row, Is.INCOMPLETE, says=f"? {error}")
        if not stands:
            return Sorted(row, Is.YOUNG, says=TAKING)
        return self._without_id(row)

    def _used(self, row: Row, issued: Issued) -> Sorted:
        owner = self.owners.get(row.id)
        if owner == row.number:
            return Sorted(row, Is.RECORDED, row.id, issued.says, issued.after)
        if owner is not None:
            return Sorted(row, Is.COPIED, row.id, _copied(owner))
        if self.free[row.digest]:  # a recorded row that this Id fell on
            return self._without_id(row)
        says = f"? {issued.says}. What you changed since is not taken: undo that event, or add a row."
        return Sorted(row, Is.EDITED, row.id, says, issued.after)

    def _without_id(self, row: Row) -> Sorted:
        name = row.digest
        if not self.free[name] or self.known.said.get(name) == RECORD:
            return Sorted(row, Is.NEW, says=TAKING)
        self.free[name] -= 1
        old = next(id for id in self.known.used[name] if id not in self.standing)
        if row.id or self.known.said.get(name) == SAME + old:
            self.standing.add(old)
            return Sorted(row, Is.LOST, old, self.known.ids[old].says, self.known.ids[old].after)
        says = f"? {self.known.ids[old].says}, in a row just like this one. Once more? See the Review tab."
        return Sorted(row, Is.AGAIN, old, says)


def _copied(owner: int) -> str:
    return f"? A copy of row {owner}: it carries that row's Id. Clear the Id cell to have it recorded as another one."


def again(row: Row, id: str, issued: Issued, at: datetime) -> Question:
    """S8: is a row that equals a recorded one, whose Id is gone, that one or one more?"""
    text = f"? Row {row.number} of Adjustments equals one that was recorded ({issued.says}), and that one's Id is gone."
    about: dict[str, Cell] = {"digest": row.digest, "id": id}
    return guard.ask("adjustment", _text(row.cells[0]), text, at, reference=f"row {row.number}", about=about)


# what one records -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    """What the ledger says, read in the transaction that records."""

    stock: Stock | None = None
    lines: tuple[tuple[LineState, Policy], ...] = ()  # the SKU's order lines that the reference names
    asked: tuple[Question, ...] = ()  # S10: open questions about cancelled or returned units of the SKU
    asked_lines: Mapping[str, tuple[LineState, Policy]] = field(default_factory=dict)  # the lines of those
    location: str = MAIN  # whose stock it is
    to: str = ""  # where units are moved to
    titles: Mapping[str, str] = field(default_factory=dict)  # of the locations, where there are several
    uncounted: frozenset[str] = frozenset()  # of the two, where this SKU, counted elsewhere, has no count yet


@dataclass(frozen=True)
class Effect:
    """What a wish records: a fact of its own, or a decision about an order line; or what has to be asked before."""

    fact: Fact | None = None
    line: LineState | None = None
    asks: Question | None = None
    says: str = ""
    more: tuple[Fact, ...] = ()  # recorded with it, before it


def judge(wanted: Wish, key: str, now: Situation, at: datetime, *, actor: str = "") -> Effect:
    """What `wanted` records, under the dedup key `key`. Raises BadInput, saying what is possible, where it may not.

    At a location where the SKU has no count yet it is counted with 0 just before, so that all of it is known there.
    """
    if now.stock is None:
        raise BadInput(f"SKU: {wanted.sku!r} has no count. Add it to the Stock tab with its first count.")
    common = Fact(
        key, wanted.sku, Kind.ADJUSTMENT, at, location=now.location, source="adjustments", actor=actor,
        reference=wanted.reference, reason=wanted.reason or str(Reason.OTHER), note=wanted.note,
    )  # fmt: skip
    first = tuple(
        replace(common, key=f"{key}:first:{place}", kind=Kind.OPENING, occurred_at=at - _MOMENT, count=0, reason="",
                location=place, batch=key)
        for place in sorted(now.uncounted) if wanted.set_to is None
    )  # fmt: skip
    if now.to:
        return _transfer(wanted, replace(common, reason="", batch=key), now, first)
    if wanted.order and wanted.order != "no":
        line, policy = now.asked_lines.get(wanted.order, (None, None))
        if line is None or policy is None:
            raise BadInput("The order line that was meant is not in the ledger any more.")
        return _about_order(wanted, line, policy, at)
    if wanted.change is not None and wanted.reason in _OF_ORDERS:
        meant = _meant(wanted, now)
        if meant is not None and wanted.location:
            raise BadInput(f"{LOCATION}: leave it blank: units of an order are where that order has them.")
        if meant is not None:
            return _about_order(wanted, *meant, at)
        order = is_order(wanted.sku, wanted.change, wanted.reason, now.asked, now.asked_lines)
        if order is not None and not wanted.order:
            return Effect(asks=order)
    says = f" at {now.titles[now.location]}" if now.location != MAIN else ""
    if wanted.set_to is not None:
        return Effect(replace(common, kind=Kind.STOCK_TAKE, count=wanted.set_to, reason=wanted.reason), says=says)
    moved = replace(common, change=_moved(wanted.change or 0, wanted.reason, now.stock), batch=key if first else "")
    return Effect(moved, says=says, more=first)


_MOMENT = timedelta(microseconds=1)


def _transfer(wanted: Wish, common: Fact, now: Situation, first: tuple[Fact, ...]) -> Effect:
    """Units go from one location to another: two legs, one batch, so that they are undone as one."""
    units, there, at = wanted.change or 0, now.stock or Stock(), now.titles[now.location]
    if now.to == now.location:
        raise BadInput(f"{TO}: the units are at {at} already; name another location.")
    if units > there.on_hand:
        raise BadInput(f"Change: {units} cannot be moved: {max(0, there.on_hand)} of {wanted.sku} are at {at}.")
    to = now.titles[now.to]
    leg = replace(common, kind=Kind.TRANSFER, change=Stock(-units), reference=common.reference or f"to {to}")
    back = replace(leg, key=f"{leg.key}:to", location=now.to, change=Stock(units))
    back = replace(back, reference=common.reference or f"from {at}")
    return Effect(leg, says=f"{units} from {at} to {to}", more=(*first, back))


def _moved(change: int, reason: str, stock: Stock) -> Stock:
    """S11, and S2: what a change moves between On hand and Damaged."""
    if reason == Reason.DISPOSED:
        if change > 0 or -change > stock.damaged:
            raise BadInput(f"'disposed' lowers Damaged, where {stock.damaged} are: give a Change from -1 to that.")
        return Stock(damaged=change)
    moved = guard.moved_by(change, reason, stock)
    if moved is None:
        raise BadInput(guard.bad_reason(reason, change, stock.damaged).removeprefix("? "))
    if change < 0 and stock.on_hand + change < 0:
        raise BadInput(
            f"Change: {change} would leave {stock.on_hand + change} on hand; {stock.on_hand} are there. Give a smaller "
            "one, or count: Set to."
        )
    return moved


# an order's units -----------------------------------------------------------------------------------------------

_OF_ORDERS = frozenset({"", *map(str, (Reason.CANCELLATION, Reason.RETURN, Reason.OTHER))}) | frozenset(
    map(str, (Reason.DAMAGE, Reason.LOSS, Reason.SOLD))
)
"""Reasons that may speak of an order's units; with others a reference is only a remark."""

_ROADS: Mapping[tuple[str, bool], tuple[tuple[str, str], ...]] = {
    (Reason.CANCELLATION, True): ((lines.CANCELLATION, "back"), (lines.WAITING, "kept")),
    (Reason.RETURN, True): ((lines.RETURN, "good"),),
    (Reason.OTHER, True): ((lines.CANCELLATION, "back"), (lines.RETURN, "good")),
    (Reason.DAMAGE, True): ((lines.RETURN, "broken"),),
    (Reason.DAMAGE, False): ((lines.CANCELLATION, "damaged"),),
    (Reason.LOSS, False): ((lines.CANCELLATION, "gone"),),
    (Reason.SOLD, False): ((lines.WAITING, "left"),),
}
"""(reason, plus) -> about which of an order's units it may be, and the word of `Said` for it; the first that fits."""

_WORDS = {
    "back": "back to stock", "kept": "back to stock", "good": "returned, sellable", "broken": "returned, damaged",
    "damaged": "damaged", "gone": "gone", "left": "shipped",
}  # fmt: skip


def names(line: LineState, reference: str, title: str) -> bool:
    """Whether a reference names this line's order: by its number or id, alone or after the channel's name."""
    said = " ".join(reference.casefold().split())
    for channel in (line.channel.casefold(), title.casefold()):
        said = said.removeprefix(f"{channel} ")
    return bool(said) and said.removeprefix("#") in {
        line.number.casefold().removeprefix("#"),
        line.order_id.casefold(),
    } - {""}


def _meant(wanted: Wish, now: Situation) -> tuple[LineState, Policy] | None:
    if not now.lines:
        return None
    if len(now.lines) == 1:
        return now.lines[0]
    fits = [(line, policy) for line, policy in now.lines if _most(wanted, line, policy) >= abs(wanted.change or 0)]
    if len({line.channel for line, _ in now.lines}) > 1:
        where = " or ".join(sorted({f"{line.channel} {wanted.reference}" for line, _ in now.lines}))
        raise BadInput(f"Reference: several channels have an order {wanted.reference!r}; write {where}.")
    return fits[0] if fits else now.lines[0]


def _most(wanted: Wish, line: LineState, policy: Policy) -> int:
    return max((_units(line, kind, policy) for kind, _ in _roads(wanted)), default=0)


def _roads(wanted: Wish) -> tuple[tuple[str, str], ...]:
    return _ROADS.get((wanted.reason or str(Reason.OTHER), (wanted.change or 0) > 0), ())


def _units(line: LineState, kind: str, policy: Policy) -> int:
    return lines.returnable(line, policy) if kind == lines.RETURN else lines.asked_units(line, kind, policy)


def _about_order(wanted: Wish, line: LineState, policy: Policy, at: datetime) -> Effect:
    """A row that names an order decides about its units, and of no more than it has."""
    units, name = abs(wanted.change or 0), lines.order_name(line)
    roads = [(word, kind, _units(line, kind, policy)) for kind, word in _roads(wanted)]
    word, kind, most = next((r for r in roads if r[2] >= units), max(roads, key=lambda r: r[2], default=("", "", 0)))
    if units > most:
        of = f"at most {most}" if most else "none"
        raise BadInput(
            f"Reference: {name} has {of} of {wanted.sku} that this can be about. Change it, or leave Reference out "
            "and put the order into Note."
        )
    if kind == lines.RETURN:
        line = replace(line, said=_came(line.said, lines.came_back(line, policy) + units))
    return Effect(line=review.decided(line, word, units, at), says=f"{name}: {units} {_WORDS[word]}")


def _came(said: Said, units: int) -> Said:
    return replace(said, came=max(said.came, units))


def is_order(
    sku: str,
    change: int,
    reason: str,
    asked: Sequence[Question],
    about: Mapping[str, tuple[LineState, Policy]],
) -> Question | None:
    """S10: the open question that a plus without a reference may be meant to answer; None where there is none."""
    kinds = {
        Reason.CANCELLATION: {lines.CANCELLATION}, Reason.RETURN: {lines.RETURN}
    }.get(Reason(reason or Reason.OTHER), {lines.CANCELLATION, lines.RETURN})  # fmt: skip
    if change < 1 or reason not in ("", Reason.OTHER, Reason.CANCELLATION, Reason.RETURN):
        return None
    for question in asked:
        line, policy = about.get(str(question.about.get("line")), (None, None))
        if question.kind in kinds and line is not None and policy is not None and line.sku == sku:
            if lines.asked_units(line, question.kind, policy) >= change:
                return question
    return None


# small pieces ---------------------------------------------------------------------------------------------------


def stored(issued: Issued) -> dict[str, Any]:
    """An Id as the ledger keeps it."""
    return {
        "cells": list(issued.cells), "at": issued.at.isoformat(), "used": issued.used, "says": issued.says,
        "after": issued.after,
    }  # fmt: skip


def restored(kept: Mapping[str, Any]) -> Issued:
    """What `stored` wrote."""
    return Issued(
        tuple(kept["cells"]), datetime.fromisoformat(kept["at"]), kept["used"], kept["says"], kept["after"]
    )  # fmt: skip


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell).strip()


def _trimmed(cell: Cell) -> Cell:
    return (cell.strip() or None) if isinstance(cell, str) else cell


def _int(cell: Cell) -> int | None:
    return cell if type(cell) is int else None
