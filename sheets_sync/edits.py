"""A look at the Stock tab -> which rows to exchange, and what is not a count.

`find` compares whole columns at once and looks closer only at the rows that differ; `judge` is the one truth table that
says what a row's figure means, here and again when the image of an exchange is settled. A look decides nothing: it is a
hint that may be torn or stale, so everything it finds is judged once more on what the exchange really overwrote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sheets_sync import guard, masses, names
from sheets_sync.model import Cell, Look, Question, Reason, Stock, Tag

SKU, TITLE, ON_HAND, REASON, NOTE, STATUS, UPDATED = "SKU", "Title", "On hand", "Reason", "Note", "Status", "Updated"
TAG_SKU, TAG_FIGURE, TAG_EXCHANGE = "tag SKU", "tag figure", "tag exchange"
TAG = (TAG_SKU, TAG_FIGURE, TAG_EXCHANGE)
NEW, TYPO = "new", "typo"  # in place of an exchange: what Review said of this SKU
_BASE = (TAG_SKU, TAG_EXCHANGE, TAG_FIGURE, ON_HAND)
BASE = frozenset(_BASE)
NEEDED = (SKU, *TAG, ON_HAND, REASON, NOTE)


_NONE = object()


class Says(Enum):
    """What a row's figure means."""

    NOTHING = "our own figure, or none"
    EDIT = "a change against the tag"
    OPEN = "the first count of a new SKU"
    TEXT = "not a whole number of units"
    OTHER_TAG = "the tag names another SKU"
    USED = "the tag's change was taken already"
    UNTAGGED = "typed for a counted SKU where we have not written"
    HELD = "the change is not taken without an answer"


@dataclass(frozen=True)
class Verdict:
    says: Says
    change: int = 0
    count: int | None = None


@dataclass(frozen=True)
class OrderAsked:
    """An open question about an order's cancelled or returned units."""

    kind: str  # "cancellation" or "return", as the reason for an edit
    units: int
    reference: str
    line: str


@dataclass(frozen=True)
class Known:
    """What the ledger knows that a decision needs. In settling it is read under lock."""

    stock: Mapping[str, Stock]  # SKUs that have a count
    taken: Mapping[tuple[str, str], Cell] = field(default_factory=dict)  # (exchange, SKU) -> figure, of used tags
    answered: Mapping[tuple[str, str], Cell] = field(default_factory=dict)  # the same, of figures that Review settled
    held: Mapping[str, Cell] = field(default_factory=dict)  # SKU -> what was typed, of edits held in their cells
    adopting: bool = False  # the workbook went back: every change in it is asked about
    restored: frozenset[tuple[str, str]] = frozenset()  # (exchange, SKU) of changes that are asked about for that
    moved: Mapping[tuple[str, str], Cell] = field(default_factory=dict)  # H4: (exchange, SKU) -> figure, held for that
    computed: Mapping[tuple[str, str], Question] = field(default_factory=dict)  # S6: by (exchange, SKU), held for that
    kept: Sequence[Question] = ()  # of `restored`, `moved` and `computed` those that cells alone do not tell again
    late: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # S5: SKU -> Reason and Note flagged as too late
    formulas: Mapping[int, str] = field(default_factory=dict)  # S6: row -> the formula in its On hand
    last_edit: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # S4: its (figure before, change)
    kits: frozenset[str] = frozenset()  # SKUs that are made of others and have no count (K1)
    orders: Mapping[str, Sequence[OrderAsked]] = field(default_factory=dict)  # S10: orders whose units may be meant
    holds: masses.Holds = masses.Holds()  # H1: from how many on a change is asked about
    masses: Sequence[Question] = ()  # the open questions about many rows
    approved: Mapping[tuple[str, str], Cell] = field(default_factory=dict)  # (exchange, SKU) -> figure, of their rows
    listings: Mapping[str, int] = field(default_factory=dict)  # how many each SKU has, where a hold may have to say so
    undone: Mapping[tuple[str, str], Cell] = field(default_factory=dict)  # (exchange, SKU) -> what it overwrote in vain
    misplaced: frozenset[tuple[str, Cell]] = frozenset()  # SKUs and figures of ours that are to make way for theirs
    strays: frozenset[Cell] = frozenset()  # figures of ours that were left, untagged, in rows without a SKU
    orders_asked: Mapping[tuple[str, str], Question] = field(default_factory=dict)  # (exchange, SKU) -> asked already
    counted_at: Mapping[str, datetime] = field(default_factory=dict)  # SKU -> its last count
    counted_before: frozenset[str] = frozenset()  # SKUs whose last count we had before the look, whatever its time is


def judge(sku: Cell, figure: Cell, tag: Tag, known: Known) -> Verdict:
    """What this row says, by its tag alone. The order of the lines is the rule."""
    if not isinstance(sku, str):
        return Verdict(Says.NOTHING)
    stock = known.stock.get(sku)
    if figure is None:  # an empty cell over a foreign or no tag asks for our figure; over its own it was cleared
        cleared = stock is not None and tag.sku == sku and tag.figure is not None
        put_back = known.answered.get((str(tag.exchange), sku), _NONE) is None
        return Verdict(Says.TEXT if cleared and not put_back else Says.NOTHING)
    if type(figure) is int and figure == tag.figure:
        return Verdict(Says.NOTHING)  # ours, wherever it stands; it opens no SKU
    if known.answered.get((str(tag.exchange), sku), _NONE) == figure:
        return Verdict(Says.NOTHING)  # asked about and answered: what stands there has had its effect
    if not guard.is_count(figure):
        return Verdict(Says.TEXT)
    assert isinstance(figure, int)
    if sku in known.kits:
        return Verdict(Says.TEXT)  # K1: it has no count
    freed = known.held.get(sku, figure) != figure
    if stock is not None and figure == stock.on_hand and (tag.figure is None or freed):
        return Verdict(Says.NOTHING)  # what we would write; typed over a held figure it ends the hold (H2)
    if tag.sku not in (None, sku):
        return Verdict(Says.OTHER_TAG)  # before the next line: another SKU's tag is not used by this one's edit
    if (str(tag.exchange), sku) in known.taken:
        return Verdict(Says.USED)
    if stock is None:
        return Verdict(Says.OPEN, count=figure)
    if type(tag.figure) is not int:
        return Verdict(Says.UNTAGGED)
    return Verdict(Says.EDIT, change=figure - tag.figure)


def hold(sku: str, figure: int, tag: Tag, reason: str, known: Known, at: datetime) -> Question | None:
    """Why an edit is not taken without an answer (S2, S4, S11); None where it is taken."""
    assert isinstance(tag.figure, int)
    stock, change = known.stock[sku], figure - tag.figure
    if known.adopting or (str(tag.exchange), sku) in known.restored:
        text = guard.restored(figure, tag.figure, stock.on_hand)
        return guard.ask("restored", sku, text, at, typed=figure, tag=tag)
    moved = guard.moved_by(change, reason, stock)
    if moved is None:
        text = guard.bad_reason(reason, change, stock.damaged)
        return guard.ask("reason", sku, text, at, typed=figure, tag=tag)
    order = _order_meant(sku, figure, change, tag, reason, known, at)
    if order is not None:
        return order
    if change < 0 and stock.on_hand + change < 0:
        text = guard.below_zero(figure, tag.figure, stock.on_hand)
        return guard.ask("below_zero", sku, text, at, typed=figure, tag=tag)
    if masses.jumps(tag.figure, figure, known.holds) and known.approved.get((str(tag.exchange), sku)) != figure:
        return guard.ask("jump", sku, masses.jump(figure, tag.figure, stock.on_hand), at, typed=figure, tag=tag)
    before, edited = known.last_edit.get(sku, (None, 0))
    if before == figure:  # Ctrl+Z, or typed anew?
        text = guard.back_again(figure, stock.on_hand, stock.on_hand - edited)
        return guard.ask("undo", sku, text, at, typed=figure, tag=tag)
    return None


def _order_meant(
    sku: str, figure: int, change: int, tag: Tag, reason: str, known: Known, at: datetime
) -> Question | None:
    """S10: a plus that may be an order's units coming back. It stays asked, also if that order is settled meanwhile."""
    asked = known.orders_asked.get((str(tag.exchange), sku))
    if asked is not None and asked.typed == figure:
        return asked
    if change < 1 or reason not in ("", Reason.CANCELLATION, Reason.RETURN):
        return None
    for order in known.orders.get(sku, ()):
        if reason in ("", order.kind) and change <= order.units:
            text = guard.is_order(sku, change, order.reference, order.kind)
            about: dict[str, Cell] = {"line": order.line, "asks": order.kind}
            return guard.ask(
                "is_order", sku, text, at, typed=figure, tag=tag, reference=order.reference, about=about
            )  # fmt: skip
    return None


# the look -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PutBack:
    """A cell to be restored: `value` goes where `column` of the SKU's row still shows `expect`.

    Cells overwritten together share a `group`. Of a group, On hand and the tag go back as one or not at all: a figure
    means something only over its own tag. A figure that we had not touched stays where it is, also typed over.
    """

    id: int
    sku: str
    column: str
    value: Cell
    expect: Cell
    group: str = ""


@dataclass(frozen=True)
class RowWrite:
    """What an exchange writes in one row. `cells` by header; the tag's SKU is copied by the sheet, not written."""

    row: int  # as people count: the header is row 1
    sku: str | None
    seen: Cell  # On hand, as looked at
    cells: Mapping[str, Cell]
    exchanged: bool = False  # figure and tag are written; otherwise cleared, service cells only, or put back
    opens: bool = False  # S7: this new SKU stood unchanged over two reads
    clears: bool = False  # Reason and Note are cleared: the look saw an edit there
    frees: bool = False  # H2: the ledger's own figure was typed over a held change; it is no edit
    put_backs: tuple[tuple[int, str, Cell], ...] = ()  # (id, header, what should stand there) of cells put back


@dataclass(frozen=True)
class Before:
    """What the look before this one showed; S7 and S9 act only on what stands over two reads."""

    new: Mapping[str, Cell] = field(default_factory=dict)  # uncounted SKUs and their figures
    missing: frozenset[str] = frozenset()
    done: frozenset[int] = frozenset()  # put-backs that seemed to need nothing more
    left: frozenset[tuple[str, str]] = frozenset()  # rows that seemed to have left their hold (H1)
    ended: frozenset[str] = frozenset()  # questions whose figures seemed to stand nowhere any more


@dataclass(frozen=True)
class Wanted:
    """What the rows should show: service cells by header and SKU. `Status` says nothing of what is found now."""

    service: Mapping[str, Mapping[str, Cell]]
    updated: Cell = None  # the stamp for rows that are written
    rows: frozenset[str] = frozenset()  # SKUs that have had a row
    put_backs: Sequence[PutBack] = ()
    vanished: frozenset[str] = frozenset()  # SKUs of which it is asked already where their row is
    renamed: Mapping[str, frozenset[str]] = field(default_factory=dict)  # new SKUs asked about -> who vanished then
    listed: tuple[str, ...] = ()  # of the service's headers, the channels'


@dataclass(frozen=True)
class Found:
    """A look, understood: what to write, what is asked because of what stands in cells, what to compare next time."""

    writes: tuple[RowWrite, ...]
    questions: tuple[Question, ...]
    skus: frozenset[str]
    before: Before
    done: tuple[int, ...] = ()  # put-backs that need nothing more, in this look and the one before
    lost: tuple[Question, ...] = ()  # of those, what was typed and is in no cell any more
    notes: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # S5: Reason and Note in rows without a change
    served: tuple[str, ...] = ()  # headers of the columns that the service alone writes


def find(look: Look, known: Known, wanted: Wanted, before: Before, *, started: bool) -> Found:
    """Which rows need an exchange and why others are held. Whole columns first, single rows only where they differ."""
    rows = _Rows(look, known, wanted, before, started)
    writes, questions = [], []
    for position in rows.differ():
        write, question = rows.understand(position)
        if write:
            writes.append(write)
        if question:
            questions.append(question)
    questions += rows.vanished()
    questions += rows.masses
    questions += rows.kept(questions)
    seen = Before(rows.new, rows.missing, frozenset(rows.done), rows.left, frozenset(rows.ended))
    done = tuple(sorted(seen.done & before.done))
    lost = tuple(question for id, question in rows.lost.items() if id in before.done)
    return Found(
        tuple(writes), tuple(questions), rows.present, seen, done, lost, rows.notes, (*wanted.service, UPDATED)
    )


class _Rows:
    """The columns of one look and what is wanted of them; lives for one call of `find`."""

    def __init__(self, look: Look, known: Known, wanted: Wanted, before: Before, started: bool) -> None:
        self.at, self.known, self.wanted, self.before, self.started = look.began_at, known, wanted, before, started
        self.headers = tuple(h for h in wanted.service if h in look.columns)
        self.cells: Mapping[str, list[Any]] = look.columns
        self.named = frozenset(look.header)
        self.texts = _texts(look.columns[SKU])
        self.present = frozenset(self.texts) - {None}
        self.duplicates = self._duplicates()
        self.missing = (wanted.rows - self.present) & known.stock.keys()
        self.gone = sorted(self.missing & (before.missing | wanted.vanished))
        self.new: dict[str, Cell] = {}
        self.notes: dict[str, tuple[str, str]] = {}
        self.renames: set[str] = set()  # vanished SKUs of which it is asked whether they have a new name
        self.done: list[int] = []
        self.lost: dict[int, Question] = {}
        self.ended: set[str] = set()
        self.restore = self._places() if wanted.put_backs else {}
        self.figures_moved, self.skus_moved = self._columns_moved()
        self.masses, self.left = self._masses()
        self.held = {(row.exchange, row.sku): (q, row) for q in self.masses for row in masses.rows_of(q)}

    def _duplicates(self) -> dict[str, list[int]]:
        if len(self.present) + self.texts.count(None) == len(self.texts):
            return {}
        texts = pd.Series(self.texts, dtype=object)
        found: dict[str, list[int]] = {}
        for position in np.flatnonzero(texts.notna() & texts.duplicated(keep=False)):
            found.setdefault(self.texts[position], []).append(int(position) + 2)
        return found

    def _places(self) -> dict[int, list[list[PutBack]]]:
        """Where each group of cells goes back: the row that shows what we wrote there, else its SKU's only row."""
        groups: dict[str, list[PutBack]] = {}
        for item in self.wanted.put_backs:
            groups.setdefault(item.group, []).append(item)
        shows: dict[tuple[Cell, ...], list[int]] = {}
        for row, whole in enumerate(zip(*(self.cells[name] for name in _BASE), strict=True)):
            shows.setdefault(whole, []).append(row)
            shows.setdefault(whole[:2], []).append(row)
        by_sku = {sku: at for at, sku in enumerate(self.texts) if sku not in self.duplicates}
        bases = [{item.column: item.expect for item in items} for items in groups.values()]
        alike = Counter(tuple(base.get(name) for name in _BASE) for base in bases)
        places: dict[int, list[list[PutBack]]] = {}
        for group, items in groups.items():
            wrote = {item.column: item.expect for item in items}
            whole, sku = tuple(wrote.get(name) for name in _BASE), items[0].sku
            # otherwise rows may look alike and be others: unless one shows this exchange's own number
            named = whole[0] == sku or whole[0] in self.known.stock
            alone = group.partition(":")[0] in whole and alike[whole] == 1
            same = shows.get(whole, []) if named or alone else []
            if (own := by_sku.get(sku)) is not None and self._bears(own, whole[:3]):
                same = [own]  # typed over since, perhaps; another row may show the same, as its own again
            if not same and group.startswith(f"{wrote.get(TAG_EXCHANGE)}:"):
                same = shows.get(whole[:2], [])
            at = same[0] if len(same) == 1 else by_sku.get(sku)
            if at is not None:
                places.setdefault(at, []).append(items)
        return places

    def _bears(self, at: int, tag: tuple[Cell, ...]) -> bool:
        return tuple(self.cells[name][at] for name in _BASE[:3]) == tag

    def _columns_moved(self) -> tuple[frozenset[int], frozenset[int]]:
        """H4: rows whose changed figures, or changed SKUs, are the old ones in another order. By position."""
        stock, cells = self.known.stock, self.cells
        rows = {
            i: (self.texts[i], cells[ON_HAND][i], cells[TAG_SKU][i], cells[TAG_FIGURE][i])
            for i in _differing(cells[ON_HAND], cells[TAG_FIGURE]) | _differing(self.texts, cells[TAG_SKU])
        }
        typed = [
            i for i, (s, n, t, f) in rows.items() if n != f and s == t and s in stock and type(n) is type(f) is int
        ]
        renamed = [i for i, (s, n, t, f) in rows.items() if s != t and n == f and s in stock and t in stock]
        figures = len(typed) > 1 and sorted(rows[i][1] for i in typed) == sorted(rows[i][3] for i in typed)
        skus = len(renamed) > 1 and sorted(rows[i][0] for i in renamed) == sorted(rows[i][2] for i in renamed)
        return frozenset(typed if figures else ()), frozenset(renamed if skus else ())

    def _masses(self) -> tuple[list[Question], frozenset[tuple[str, str]]]:
        """H1: what is held for its number alone, or was, and still stands."""
        known, cells = self.known, self.cells
        typed = (
            _differing(cells[ON_HAND], cells[TAG_FIGURE]) - self.figures_moved - self.skus_moved - self.restore.keys()
        )
        least = min((n for n in (known.holds.edits, known.holds.zeros) if n is not None), default=len(typed) + 1)
        if known.adopting or (len(typed) < least and not known.masses):
            return [], frozenset()
        fresh, cleared = list[masses.Row](), list[masses.Row]()
        for at in sorted(typed):
            sku, figure, tag = self.texts[at], cells[ON_HAND][at], Tag(*(cells[name][at] for name in TAG))
            if sku is None or sku in self.duplicates or at + 2 in known.formulas or type(tag.figure) is not int:
                continue
            verdict = judge(sku, figure, tag, known)
            row = masses.Row(sku, str(tag.exchange), tag.figure, figure)
            if verdict.says is Says.TEXT and figure is None:
                cleared.append(row)
            elif verdict.says is Says.EDIT and known.approved.get((row.exchange, sku), _NONE) != figure:
                fresh.append(row)
        rows = {row.sku for row in (*fresh, *cleared)}
        listings = Counter(sku for h in self.wanted.listed for sku in rows & self.wanted.service[h].keys())
        held = {row.sku for question in known.masses for row in masses.rows_of(question)}
        away = (held - self.present) | (held & self.duplicates.keys())
        return masses.find(
            fresh, cleared, known.masses, known.holds, listings, self.at, away=away, left_before=self.before.left
        )

    def differ(self) -> list[int]:
        """The rows that are not just as they should be, counted from 0."""
        stock = list(map(self.known.stock.get, self.texts))
        counted = self.texts if None not in set(stock) else [s and t for s, t in zip(stock, self.texts, strict=True)]
        on_hand = [None if s is None else s.on_hand for s in stock]
        wanted: dict[str, list[Any]] = {ON_HAND: on_hand, TAG_FIGURE: on_hand, TAG_SKU: counted, SKU: self.texts}
        wanted |= {name: list(map(self.wanted.service[name].get, self.texts)) for name in self.headers}
        wanted |= dict.fromkeys((REASON, NOTE), [None] * len(self.texts))
        found = set(self.restore) | {row - 2 for rows in self.duplicates.values() for row in rows}
        for name, cells in wanted.items():
            found |= _differing(self.cells[name], cells)
        if bool in set(map(type, self.cells[ON_HAND])):  # True equals 1
            found |= {at for at, cell in enumerate(self.cells[ON_HAND]) if isinstance(cell, bool)}
        return sorted(found)

    def vanished(self) -> Iterator[Question]:
        gone = [sku for sku in self.gone if sku not in self.renames]
        if many := masses.missing(gone, len(self.wanted.rows & self.known.stock.keys()), self.at):
            yield many
            return
        for sku in self.gone:
            if sku in self.renames:
                continue
            yield guard.ask("vanished", sku, guard.vanished(sku, self.known.stock[sku].on_hand), self.at)

    def kept(self, asked: Sequence[Question]) -> Iterator[Question]:
        """H1: what was held stays held while its row is a duplicate, is called otherwise, or is gone for a moment.

        It ends where two looks do not find it: one alone may be torn, and settling takes what nobody holds.
        """
        keys = {question.key for question in asked}
        marks = zip(*(self.cells[name] for name in (TAG_EXCHANGE, TAG_SKU, ON_HAND)), strict=True)
        stands = set(marks) if self.known.kept else set()
        for question in self.known.kept:
            mark = question.about.get("exchange"), question.sku, question.typed
            if question.key in keys or self.known.answered.get((str(mark[0]), question.sku), _NONE) == question.typed:
                continue
            if mark not in stands and question.sku not in self.missing:
                self.ended.add(question.key)  # unless this look is a torn one
            if question.key not in self.ended & self.before.ended:
                yield question

    def understand(self, at: int) -> tuple[RowWrite | None, Question | None]:
        """One row that differs: what to write there, what to ask."""
        sku, figure = self.texts[at], self.cells[ON_HAND][at]
        tag = Tag(*(self.cells[name][at] for name in TAG))
        if at in self.restore and (write := self._put_back(at)):
            return write, None
        if sku is None:
            return self._without_sku(at, figure, tag)
        if sku in self.duplicates:
            question = guard.ask("duplicate", sku, guard.duplicate(self.duplicates[sku]), self.at)
            return self._service(at, sku, question.text), question if self.duplicates[sku][0] == at + 2 else None
        held, row = self.held.get((str(tag.exchange), sku), (None, None))
        if held and row and row.typed == figure:
            return self._service(at, sku, masses.status_of(held, row)), None
        whole = self._held_whole(at, sku, figure, tag)
        if whole is not None:
            return self._service(at, sku, whole.text), whole
        verdict = judge(sku, figure, tag, self.known)
        match verdict.says:
            case Says.NOTHING:
                return self._nothing(at, sku, figure, tag)
            case Says.EDIT:
                return self._edit(at, sku, verdict.change, tag)
            case Says.OPEN:
                return self._open(at, sku, figure)
            case Says.USED if sku in self.known.stock:  # settling asks; the cell gets the ledger's figure
                return self._exchange(at, sku, self.known.stock[sku].on_hand), None
        if verdict.says is Says.OTHER_TAG and sku not in self.known.stock and tag.sku in self.missing:
            return self._rename(at, sku, figure, [str(tag.sku)], tag)
        question = self._question(verdict, sku, figure, tag)
        return self._service(at, sku, question.text), question

    def _held_whole(self, at: int, sku: str, figure: Cell, tag: Tag) -> Question | None:
        """What is held whatever the figure says: a formula (S6), a column moved without its rows (H4)."""
        pair = (str(tag.exchange), sku)
        if self.known.answered.get(pair, _NONE) == figure:
            return None
        stock = self.known.stock.get(sku)
        if formula := self.known.formulas.get(at + 2):
            text = guard.formula(formula, figure, None if stock is None else stock.on_hand)
            asked = guard.ask("formula_held", sku, text, self.at, typed=figure, tag=tag)
            return replace(asked, reference=formula)  # whose text changes with rows that are inserted above
        if came_back(self.known, pair, figure):
            return self.known.computed[pair]
        if at in self.figures_moved or self.known.moved.get(pair, _NONE) == figure != tag.figure:
            text = guard.moved_figures(max(2, len(self.figures_moved)))
        elif at in self.skus_moved:
            text = guard.moved_skus(len(self.skus_moved))
        else:
            return None
        return guard.ask("moved_column", sku, text, self.at, typed=figure, tag=tag)

    def _question(self, verdict: Verdict, sku: str, figure: Cell, tag: Tag) -> Question:
        kind, text = question_of(verdict, sku, figure, tag, self.known)
        return guard.ask(kind, sku, text, self.at, typed=figure, tag=tag)

    def _without_sku(self, at: int, figure: Cell, tag: Tag) -> tuple[RowWrite | None, Question | None]:
        cell = self.cells[SKU][at]
        if cell is not None:
            question = guard.ask("sku_number", str(cell), guard.number_sku(cell), self.at, reference=str(at + 2))
            return self._service(at, None, question.text), question
        if tag.exchange is not None and tag.sku is None and figure in (None, tag.figure):
            return self._clear(at, None), None  # our own write, on a row that was blank or is blank now
        if tag.sku in self.missing:
            return self._service(at, None, guard.no_sku(str(tag.sku))), None
        cells = self._service_cells(at, None, None)
        if self._now(at, UPDATED) is not None:
            cells[UPDATED] = None
        return (RowWrite(at + 2, None, figure, cells) if cells else None), None

    def _nothing(self, at: int, sku: str, figure: Cell, tag: Tag) -> tuple[RowWrite | None, Question | None]:
        stock = self.known.stock.get(sku)
        if stock is not None:
            right = figure == stock.on_hand and tag.sku == sku and tag.figure == stock.on_hand
            if right:
                return self._unchanged(at, sku)
            frees = figure is not None and tag.figure is not None and figure != tag.figure
            return replace(self._exchange(at, sku, stock.on_hand), frees=frees), None
        if tag.blank:
            return self._service(at, sku), None
        if figure is None or tag.sku in (None, sku):
            return self._clear(at, sku), None
        self.new[sku] = figure  # S7: a row duplicated to make a new SKU
        if self.before.new.get(sku) != figure:
            return None, None
        if tag.sku in self.missing:
            return self._rename(at, sku, figure, [str(tag.sku)], tag)
        question = guard.ask("other_tag", sku, guard.other_tag(tag, known=False), self.at, typed=figure, tag=tag)
        return self._service(at, sku, question.text), question

    def _unchanged(self, at: int, sku: str) -> tuple[RowWrite | None, Question | None]:
        """S5: a Reason or Note without a change is a remark on the last edit, or flagged once it has stood too long."""
        texts = text_of(self.cells[REASON][at]), text_of(self.cells[NOTE][at])
        if not any(texts):
            return self._service(at, sku), None
        self.notes[sku] = texts
        if self.known.late.get(sku) != texts:
            return self._service(at, sku), None
        about = {"reason": texts[0], "note": texts[1]}
        text = guard.late_note(" ".join(filter(None, texts)))
        question = guard.ask("late_note", sku, text, self.at, reference="\n".join(texts), about=about)
        return self._service(at, sku, question.text), question

    def _edit(self, at: int, sku: str, change: int, tag: Tag) -> tuple[RowWrite | None, Question | None]:
        figure, (reason, _) = (
            self.cells[ON_HAND][at],
            words_of(self.cells[REASON][at], self.cells[NOTE][at], sku, self.known),
        )
        held = hold(sku, figure, tag, reason, self.known, self.at)
        if held:
            texts = {"reason": reason, "note": text_of(self.cells[NOTE][at])}
            return self._service(at, sku, held.text), replace(held, about={**held.about, **texts})
        stock = self.known.stock[sku]
        moved = guard.moved_by(change, reason, stock)
        assert moved is not None
        now = stock.on_hand + moved.on_hand
        status = guard.damaged(moved.damaged, now) if moved.damaged > 0 else guard.recorded(change, now, figure)
        return self._exchange(at, sku, now, status=status, clears=True), None

    def _open(self, at: int, sku: str, figure: Cell) -> tuple[RowWrite | None, Question | None]:
        if not self.started:
            return self._service(at, sku), None
        self.new[sku] = figure
        gone = sorted(self._renamed(sku))
        if gone and self.known.answered.get((NEW, sku), _NONE) != figure:
            return self._rename(at, sku, figure, gone, None)
        if alike := self._alike(sku, figure):
            return self._ask_alike(at, sku, figure, alike)
        if figure in self.known.strays:
            question = guard.ask("stray", sku, guard.stray(figure), self.at, typed=figure, tag=Tag())
            return self._service(at, sku, question.text), question
        if self.before.new.get(sku) != figure:
            return self._service(at, sku, f"new: opens with {figure}"), None
        assert isinstance(figure, int)
        return self._exchange(at, sku, figure, status=f"opened with {figure}", opens=True), None

    def _rename(
        self, at: int, sku: str, figure: Cell, gone: list[str], tag: Tag | None
    ) -> tuple[RowWrite | None, Question | None]:
        """S9: is this a new name of what vanished, or a new SKU?"""
        self.renames.update(gone)
        self.new[sku] = figure
        text, about = guard.rename(sku, gone), {"gone": gone[0]}
        question = guard.ask(
            "rename", sku, text, self.at, typed=figure, tag=tag, reference="\n".join(gone), about=about
        )
        return self._service(at, sku, question.text), question

    def _alike(self, sku: str, figure: Cell) -> str:
        """S9: the counted SKU that this new one is easily taken for, unless Review said that it is another one."""
        if self.known.answered.get((NEW, sku), _NONE) == figure:
            return ""
        return self.forms.get(names.form(sku), "")

    @cached_property
    def forms(self) -> Mapping[str, str]:
        """Counted SKUs by what those that look alike have in common; only needed where a new SKU stands."""
        return {names.form(sku): sku for sku in self.known.stock}

    def _ask_alike(self, at: int, sku: str, figure: Cell, alike: str) -> tuple[RowWrite | None, Question | None]:
        text = guard.alike(sku, alike)
        if self.known.answered.get((TYPO, sku), _NONE) == figure:
            return self._service(at, sku, text), None
        about = {"gone": alike}
        question = guard.ask("alike", sku, text, self.at, typed=figure, reference=alike, about=about)
        return self._service(at, sku, question.text), question

    def _renamed(self, sku: str) -> frozenset[str]:
        """S9: the SKUs that vanished as this one appeared, and of which nothing was asked before."""
        asked = self.wanted.vanished.union(*self.wanted.renamed.values())
        return self.missing & (self.wanted.renamed.get(sku) or self.missing - asked)

    def _put_back(self, at: int) -> RowWrite | None:
        """What goes back into this row; a group that finds its row changed by a person is given up."""
        cells: dict[str, Cell] = {}
        ids: list[tuple[int, str, Cell]] = []
        for group in reversed(self.restore[at]):  # the newest first: an older one's cells may lie under it
            written, untouched = len(ids), []
            for items in _units(self._named_again(at, group)):
                # a figure that we did not overwrite stays, typed over since or not: its tag goes back to it
                ours = [item for item in items if item.column != ON_HAND or item.value != item.expect]
                if all(item.value == item.expect for item in items):
                    untouched += items  # it only tells which row it is
                elif all(i.column in self.named and self._after(cells, at, i.column) == i.expect for i in ours):
                    cells |= {item.column: item.value for item in ours}
                    ids += [(item.id, item.column, self._now(at, item.column)) for item in items]
                elif tag := self._typed_over(at, items):
                    cells |= tag
                    ids += [(item.id, item.column, self._now(at, item.column)) for item in items]
                else:
                    self._give_up(at, items)
            if len(ids) == written:
                self.done += [item.id for item in untouched]
        seen = self.cells[ON_HAND][at]
        return RowWrite(at + 2, self.texts[at], seen, cells, put_backs=tuple(ids)) if cells else None

    def _named_again(self, at: int, group: Sequence[PutBack]) -> Sequence[PutBack]:
        """With On hand by its name, where it had another one while we wrote: it shows what we wrote under that."""
        gone = [i for i in group if i.column not in self.named and i.expect == self._now(at, ON_HAND)]
        if len(gone) != 1 or any(item.column == ON_HAND for item in group):
            return group
        return [replace(item, column=ON_HAND) if item is gone[0] else item for item in group]

    def _typed_over(self, at: int, items: Sequence[PutBack]) -> dict[str, Cell]:
        """Where a person typed over a figure that we wrote by mistake, and its tag is elsewhere or another row's: what
        they saw becomes the figure of the row's own tag.
        """
        base = {item.column: item for item in items}
        shown, tag, owner = (base.get(column) for column in (ON_HAND, TAG_FIGURE, TAG_SKU))
        if shown is None or tag is None or shown.value != tag.value or type(shown.expect) is not int:
            return {}
        now = self._now(at, ON_HAND)
        moved = any(self._now(at, item.column) != item.expect for item in items if item is not shown)
        if moved or now in (shown.expect, shown.value) or not guard.is_count(now):
            return {}
        if owner is not None and owner.expect != owner.sku == owner.value:
            return {item.column: item.value for item in items if item is not shown} | {TAG_FIGURE: shown.expect}
        return {TAG_FIGURE: shown.expect} if tag.expect != shown.expect else {}

    def _give_up(self, at: int, items: Sequence[PutBack]) -> None:
        """It stands there again, or a person has written there since; of a typed figure it is then asked."""
        self.done += [item.id for item in items]
        for item in items:
            # a header that was another one while we wrote, and is named as before again
            if item.column not in self.named and item.value not in (None, item.expect):
                self.lost[item.id] = guard.lost_cell(item.sku, item.column, item.value, self.at)
        values = {item.column: item for item in items}
        typed = values.get(ON_HAND)
        now = self._now(at, ON_HAND)
        if typed is None or typed.value in (None, now):
            return
        retyped = TAG_SKU in values and values[TAG_SKU].value not in (None, typed.sku)
        ours = retyped and now == self._now(at, TAG_FIGURE)
        if typed.sku not in self.known.stock and guard.is_count(now) and not ours:
            return  # the first count of a new SKU: the one typed last says all
        tag = values.get(TAG_FIGURE)
        if tag is None or tag.value != typed.value:
            self.lost[typed.id] = guard.lost_cell(typed.sku, ON_HAND, typed.value, self.at)

    def _after(self, cells: Mapping[str, Cell], at: int, column: str) -> Cell:
        return cells[column] if column in cells else self._now(at, column)

    def _now(self, at: int, column: str) -> Cell:
        return self.cells[column][at] if column in self.cells else None

    # what is written ------------------------------------------------------------------------------------------

    def _service_cells(self, at: int, sku: str | None, status: str | None) -> dict[str, Cell]:
        wanted = {h: None if sku is None else self.wanted.service[h].get(sku) for h in self.headers}
        if status is not None and STATUS in self.headers:
            wanted[STATUS] = status
        return {h: v for h, v in wanted.items() if self.cells[h][at] != v}

    def _stamped(self, cells: dict[str, Cell]) -> dict[str, Cell]:
        return {**cells, UPDATED: self.wanted.updated} if UPDATED in self.cells else cells

    def _service(self, at: int, sku: str | None, status: str | None = None) -> RowWrite | None:
        cells = self._service_cells(at, sku, status)
        return RowWrite(at + 2, sku, self.cells[ON_HAND][at], self._stamped(cells)) if cells else None

    def _exchange(
        self, at: int, sku: str, figure: int, *, status: str | None = None, opens: bool = False, clears: bool = False
    ) -> RowWrite:
        cells = {TAG_FIGURE: figure, ON_HAND: figure} | self._stamped(self._service_cells(at, sku, status))
        has_text = any(self.cells[name][at] is not None for name in (REASON, NOTE))
        return RowWrite(at + 2, sku, self.cells[ON_HAND][at], cells, True, opens, clears and has_text)

    def _clear(self, at: int, sku: str | None) -> RowWrite:
        cells = dict.fromkeys((*TAG, ON_HAND)) | self._service_cells(at, sku, None)
        if sku is None and UPDATED in self.cells:
            cells[UPDATED] = None
        return RowWrite(at + 2, sku, self.cells[ON_HAND][at], cells)


def _units(group: Sequence[PutBack]) -> Iterator[list[PutBack]]:
    """On hand and the tag as one, every other cell by itself."""
    if base := [item for item in group if item.column in BASE]:
        yield base
    yield from ([item] for item in group if item.column not in BASE)


def question_of(verdict: Verdict, sku: str, figure: Cell, tag: Tag, known: Known) -> tuple[str, str]:
    """(kind, words) for a figure that is not taken."""
    stock = known.stock.get(sku)
    match verdict.says:
        case Says.OTHER_TAG:
            return "other_tag", guard.other_tag(tag, stock is not None)
        case Says.USED:
            return "used_tag", guard.used_tag(figure)
        case Says.UNTAGGED:
            assert stock is not None
            return "untagged", guard.untagged(figure, stock.on_hand)
    if sku in known.kits and guard.is_count(figure):
        return "text", guard.count_of_kit(figure, sku)
    return "text", guard.not_a_count(figure, None if stock is None else stock.on_hand)


def came_back(known: Known, pair: tuple[str, str], figure: Cell) -> bool:
    """S6: whether this figure is what a formula gave that we overwrote by mistake."""
    question = known.computed.get(pair)
    return question is not None and (question.reference, question.typed) == (guard.CAME_BACK, figure)


def words_of(reason: Cell, note: Cell, sku: str, known: Known) -> tuple[str, str]:
    """Reason and Note of an edit. What was flagged as standing there too long belongs to none (S5)."""
    texts = text_of(reason), text_of(note)
    return ("", "") if known.late.get(sku) == texts else texts


def is_formula(cell: Cell) -> bool:
    """Whether a cell, read as it was typed, is worked out."""
    return isinstance(cell, str) and cell.startswith("=")


def elsewhere(write: RowWrite, typed: Mapping[int, Cell]) -> bool:
    """Whether this row's count was not there any more as On hand was read `typed`: nobody knows if it is one (S6)."""
    cell = typed.get(write.row)
    return ON_HAND in write.cells and type(write.seen) is int and cell != write.seen and not is_formula(cell)


def sum_as_it_stands(formula: Cell, stands: Cell) -> Cell:
    """What stands in a cell whose formula was read a moment before; None where a sum like `=12+5` gives something else:
    that one is gone, and what stands there now may refer to other cells.
    """
    return stands if sum_of(str(formula)) in (None, stands) else None


def sum_of(formula: str) -> int | None:
    """What a formula of plain numbers gives, like `=12+5`; None where it is more than that, or no whole number."""
    if not re.fullmatch(r"=\s*\d{1,9}(\s*[+-]\s*\d{1,9})*\s*", formula):
        return None
    return sum(int(part) for part in re.findall(r"[+-]?\d+", formula.replace(" ", "")))


def refers(cell: Cell) -> bool:
    """Whether a cell's formula names other cells, ranges or names (S6): `=12+5` does not, `=A2+5` does."""
    if not isinstance(cell, str) or not is_formula(cell):
        return False
    return re.search(r"[A-Za-z_]", re.sub(r'"[^"]*"', "", cell)) is not None


def text_of(cell: Cell) -> str:
    """A Reason or Note as text: what a person wrote, trimmed."""
    return "" if cell is None else str(cell).strip()


def _texts(cells: list[Cell]) -> list[Any]:
    """SKUs as text; None for anything else."""
    if set(map(type, cells)) <= {str, type(None)}:
        return cells
    return [cell if isinstance(cell, str) else None for cell in cells]


def _differing(cells: list[Any], wanted: list[Any]) -> set[int]:
    """Where two columns differ. Most do not at all, which lists tell far faster than arrays."""
    if cells == wanted:
        return set()
    left, right = pd.Series(cells, dtype=object), pd.Series(wanted, dtype=object)
    return set(np.flatnonzero(left.to_numpy() != right.to_numpy()).tolist())
