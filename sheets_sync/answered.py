"""Answered questions stay at the foot of Review for a while: what was answered, and the event that came of it.

`note` keeps what came of an answer, in the transaction that answers; `arrange` says what becomes of the tab's rows. A
row that is done has a mark behind its Id, so that it is never taken for a question again, not even for the same one
asked anew; what a person wrote in it stays as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sheets_sync.ledger import Tx, View
from sheets_sync.model import Cell
from sheets_sync.sheet import tabs

STATE = "answered_rows"  # the newest answers: a question's Id, what came of it, when
KEPT = 50
KEPT_FOR = timedelta(days=1)
MARK = " ✓"


@dataclass(frozen=True)
class Arranged:
    """What becomes of the rows of Review that are no open question's. Numbers are rows, as people count."""

    cells: tuple[tuple[int, Mapping[str, Cell]], ...] = ()
    sink: tuple[int, ...] = ()  # they have just been answered: to the foot, without a drop-down
    gone: tuple[int, ...] = ()


def note(tx: Tx, id: str, says: str, now: datetime) -> None:
    """Keep what came of the answer to question `id`."""
    kept = [*(one for one in _standing(tx, now) if one["id"] != id), {"id": id, "says": says, "at": now.isoformat()}]
    tx.put(STATE, kept[-KEPT:])


def standing(view: View, now: datetime) -> dict[str, str]:
    """What came of the newest answers, by the question's Id."""
    return {one["id"]: one["says"] for one in _standing(view, now)}


def _standing(view: View, now: datetime) -> list[dict[str, Any]]:
    return [one for one in view.get(STATE, []) if now - datetime.fromisoformat(one["at"]) < KEPT_FOR]


def is_done(row: Mapping[str, Cell]) -> bool:
    """Whether a row of Review is an answered question's."""
    return str(row.get(tabs.ID)).endswith(MARK)


def arrange(rows: Sequence[Mapping[str, Cell]], open_ids: Collection[str], done: Mapping[str, str]) -> Arranged:
    """Rows just answered sink, those that have stood for long go, and so do those whose question lost its cause."""
    cells: list[tuple[int, Mapping[str, Cell]]] = []
    sink, gone = list[int](), list[int]()
    answered = {str(row[tabs.ID]) for row in rows if row.get(tabs.ID) is not None and not is_done(row)} - {*open_ids}
    for row in rows:
        number, name = int(str(row["_row"])), str(row.get(tabs.ID))
        id = name.removesuffix(MARK)
        if row.get(tabs.ID) is None or (name in open_ids and not is_done(row)):
            continue
        if id not in done or (is_done(row) and id in answered):  # the latter: asked and answered once more
            gone.append(number)
        elif not is_done(row):
            sink.append(number)
            cells.append((number, {tabs.ID: id + MARK, tabs.STATUS: done[id]}))
        elif row.get(tabs.STATUS) != done[id]:
            cells.append((number, {tabs.STATUS: done[id]}))
    return Arranged(tuple(cells), tuple(sink), tuple(gone))


def moves(sink: Sequence[int], gone: Sequence[int], last: int) -> list[tuple[int, int | None]]:
    """(row, where it goes; None: away), one after the other, of rows 2 to `last`; each counts as it stands by then."""
    order, out = list(range(2, last + 1)), list[tuple[int, int | None]]()
    for row in sink:
        at = order.index(row)
        if at < len(order) - 1:
            out.append((at + 2, last + 1))
            order.append(order.pop(at))
    return out + [(at + 2, None) for at in sorted((order.index(row) for row in gone), reverse=True)]
