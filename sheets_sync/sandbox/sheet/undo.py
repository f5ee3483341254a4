"""Undo: what takes a person's edit back, as requests that are made from the workbook before and after it.

`step_back(requests, moves, before, after)` gives a `Step`. A step names cells and rows as they stood after the edit and
says what it expects to find there; `Step.requests(book, moves)` carries it to where they are now. A cell that shows
something else by then was written by someone else: it is left alone, and counted. Taking a step back is an edit like
any other, so redo is the step back of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sheets_sync.sandbox.sheet import metadata
from sheets_sync.sandbox.sheet.cells import cut, lay
from sheets_sync.sandbox.sheet.draft import Draft, Refused
from sheets_sync.sandbox.sheet.grid import Book, ErrorValue, Json, Tab
from sheets_sync.sandbox.sheet.moves import Move, carried, carried_gap, reordered

State = list[Any]  # value, formula or None, style or None: one cell as JSON
LARGEST = 1_000_000  # cells that one step may put back
_BLANK: State = ["", None, None]


def _state(tab: Tab, row: int, column: int) -> State:
    value, text = tab.value(row, column), tab.formulas[row].get(column)
    return [str(value) if isinstance(value, ErrorValue) else value, text, tab.style(row, column)]


def _content(state: State) -> Any:
    """What two states are compared by: a formula by its text, whatever it shows."""
    value, text, _ = state
    return text if text is not None else (type(value) is bool, value)


# requests that only undo makes


def restore_cells(draft: Draft, body: Json) -> Json:
    """Ours: put cells back. Each is [row, column, expected, wanted]; expected None takes whatever is there.

    The reply counts the cells left alone because they show something else by now.
    """
    tab = draft.tab(body.get("sheetId") or 0)
    left = 0
    for row, column, expected, wanted in body["cells"]:
        if row >= len(tab.values) or column >= len(tab.columns):
            left += 1
            continue
        now = _state(tab, row, column)
        if expected is not None and _content(now) != _content(expected):
            left += 1
            continue
        value, text, style = wanted
        if _content(now) != _content(wanted):
            tab.put_values(row, column, ["" if text is not None else value])
            if text is not None:
                tab.put_formula(row, column, text)
        if now[2] != style and (expected is None or now[2] == expected[2]):
            tab.put_style(row, column, [style])
    return {"restoreCells": {"left": left}}


def order_rows(draft: Draft, body: Json) -> None:
    """Ours: the named rows change places among themselves and then stand in the order in which they are named."""
    tab, rows = draft.tab(body.get("sheetId") or 0), [row for row in body["rows"]]
    if len(set(rows)) != len(rows) or not all(0 <= row < len(tab.values) for row in rows):
        raise Refused("rows must be rows of the sheet, each named once.")
    width = len(tab.columns)
    places = dict(zip(rows, sorted(rows), strict=True))
    pieces = {row: cut(tab, row, 0, width) for row, target in places.items() if row != target}
    for row, piece in pieces.items():
        lay(tab, places[row], 0, piece, offset=(places[row] - row, 0))
    metadata.carry(draft, tab.sheet_id, "ROWS", lambda row: places.get(row, row))
    draft.moves.append(reordered(tab.sheet_id, places))


# steps


@dataclass(frozen=True, slots=True)
class Step:
    """Takes one edit back. `revision` is the workbook's after that edit: the one its places are named by."""

    revision: int
    sheet_id: int

    def requests(self, book: Book, moves: Sequence[Move]) -> list[Json]:
        """What takes it back in the workbook as it is now; raises Refused where that is not possible any more."""
        raise NotImplementedError

    def _tab(self, book: Book) -> Tab:
        tab = book.tab(self.sheet_id)
        if tab is None:
            raise Refused("The tab that this changed is gone.")
        return tab


@dataclass(frozen=True, slots=True)
class Cells(Step):
    """Cells get back what they had: (row, column, expected, wanted)."""

    cells: tuple[tuple[int, int, State, State], ...]

    def requests(self, book: Book, moves: Sequence[Move]) -> list[Json]:
        self._tab(book)
        found = [
            [row, column, expected, wanted]
            for r, c, expected, wanted in self.cells
            if (row := carried(r, moves, self.sheet_id, "ROWS")) is not None
            and (column := carried(c, moves, self.sheet_id, "COLUMNS")) is not None
        ]
        if not found:
            raise Refused("The cells that this changed are gone.")
        return [{"restoreCells": {"sheetId": self.sheet_id, "cells": found}}]


@dataclass(frozen=True, slots=True)
class TakeOut(Step):
    """Rows or columns that were put in go again, if they hold what they held then: (across, content) for each lane."""

    dimension: str
    start: int
    lanes: tuple[tuple[tuple[int, Any], ...], ...]

    def requests(self, book: Book, moves: Sequence[Move]) -> list[Json]:
        tab = self._tab(book)
        start = _together(range(self.start, self.start + len(self.lanes)), moves, self.sheet_id, self.dimension)
        rows = self.dimension == "ROWS"
        for index, lane in enumerate(self.lanes, start):
            now = _lane(tab, self.dimension, index)
            if tuple((at, _content(state)) for at, state in now if _content(state) != _content(_BLANK)) != lane:
                what = f"Row {index + 1}" if rows else "A column"
                raise Refused(f"{what} was written in since; it stays.")
        end = start + len(self.lanes)
        return [{"deleteDimension": {"range": _span(self.sheet_id, self.dimension, start, end)}}]


@dataclass(frozen=True, slots=True)
class PutBack(Step):
    """Deleted rows or columns come back with what they held; so do formulas elsewhere that had named them."""

    dimension: str
    start: int
    lanes: tuple[tuple[tuple[int, State], ...], ...]
    properties: tuple[Json | None, ...]
    formulas: tuple[tuple[int, int, int, State, State], ...]  # tab, row, column, expected, wanted; named as after it

    def requests(self, book: Book, moves: Sequence[Move]) -> list[Json]:
        self._tab(book)
        at = carried_gap(self.start, moves, self.sheet_id, self.dimension)
        rows, count = self.dimension == "ROWS", len(self.lanes)
        across = "COLUMNS" if rows else "ROWS"
        cells = []
        for index, lane in enumerate(self.lanes, at):
            for other, state in lane:
                place = carried(other, moves, self.sheet_id, across)
                if place is not None:
                    cells.append([*((index, place) if rows else (place, index)), None, state])
        span = _span(self.sheet_id, self.dimension, at, at + count)
        made: list[Json] = [
            {"insertDimension": {"range": span}},
            {"restoreCells": {"sheetId": self.sheet_id, "cells": cells}},
        ]
        for index, kept in enumerate(self.properties, at):
            if kept:
                one = _span(self.sheet_id, self.dimension, index, index + 1)
                made.append({"updateDimensionProperties": {"range": one, "properties": kept, "fields": "*"}})
        return made + self._formulas(moves, at, count)

    def _formulas(self, moves: Sequence[Move], at: int, count: int) -> list[Json]:
        def behind(index: int | None, sheet_id: int, dimension: str) -> int | None:
            if index is None or sheet_id != self.sheet_id or dimension != self.dimension:
                return index
            return index + count if index >= at else index

        made: list[Json] = []
        for sheet_id, r, c, expected, wanted in self.formulas:
            row = behind(carried(r, moves, sheet_id, "ROWS"), sheet_id, "ROWS")
            column = behind(carried(c, moves, sheet_id, "COLUMNS"), sheet_id, "COLUMNS")
            if row is not None and column is not None:
                made.append({"restoreCells": {"sheetId": sheet_id, "cells": [[row, column, expected, wanted]]}})
        return made


@dataclass(frozen=True, slots=True)
class Order(Step):
    """Sorted rows stand as before; formulas that sorting broke say again what they said."""

    rows: tuple[int, ...]
    formulas: tuple[tuple[int, int, State, State], ...]  # row, column, expected, wanted; named as after the sort

    def requests(self, book: Book, moves: Sequence[Move]) -> list[Json]:
        tab = self._tab(book)
        rows = [row for r in self.rows if (row := carried(r, moves, self.sheet_id, "ROWS")) is not None]
        places = dict(zip(rows, sorted(rows), strict=True))
        cells = [
            [places[row], column, None, wanted]
            for r, c, expected, wanted in self.formulas
            if (row := carried(r, moves, self.sheet_id, "ROWS")) in places
            and row is not None
            and (column := carried(c, moves, self.sheet_id, "COLUMNS")) is not None
            and _content(_state(tab, row, column)) == _content(expected)
        ]
        made: list[Json] = [{"orderRows": {"sheetId": self.sheet_id, "rows": rows}}]
        return [*made, {"restoreCells": {"sheetId": self.sheet_id, "cells": cells}}] if cells else made


@dataclass(frozen=True, slots=True)
class MoveBack(Step):
    """Rows or columns that were dragged elsewhere go back."""

    dimension: str
    start: int
    count: int
    before: int

    def requests(self, book: Book, moves: Sequence[Move]) -> list[Json]:
        self._tab(book)
        start = _together(range(self.start, self.start + self.count), moves, self.sheet_id, self.dimension)
        target = carried_gap(self.before, moves, self.sheet_id, self.dimension)
        span = _span(self.sheet_id, self.dimension, start, start + self.count)
        return [{"moveDimension": {"source": span, "destinationIndex": target}}]


def _together(lanes: range, moves: Sequence[Move], sheet_id: int, dimension: str) -> int:
    """Where lanes that stood side by side begin now; raises Refused where they do not stand so any more."""
    places = [carried(index, moves, sheet_id, dimension) for index in lanes]
    first = places[0]
    if first is None or places != list(range(first, first + len(places))):
        raise Refused(f"The {dimension.lower()} that this changed do not stand together any more.")
    return first


def _span(sheet_id: int, dimension: str, start: int, end: int) -> Json:
    return {"sheetId": sheet_id, "dimension": dimension, "startIndex": start, "endIndex": end}


def _lane(tab: Tab, dimension: str, index: int) -> tuple[tuple[int, State], ...]:
    """A row's or column's cells, (place across, state), as far as they go."""
    if dimension == "COLUMNS":
        return tuple((row, _state(tab, row, index)) for row in range(len(tab.values)))
    return tuple((column, _state(tab, index, column)) for column in range(len(tab.columns)))


# what takes an edit back


def step_back(requests: Sequence[Json], moves: Sequence[Move], before: Book, after: Book) -> Step | None:
    """What takes these requests back; None where nothing is to be taken back, or it is too much to keep.

    One edit is about one tab and, where rows or columns change their numbers, about one block of them.
    """
    kind, body = next(iter(requests[0].items()))
    where = body.get("range") or body.get("source") or body.get("destination") or body
    sheet_id = where.get("sheetId") or 0
    old, new = before.tab(sheet_id), after.tab(sheet_id)
    if old is None or new is None:
        return None
    if not moves:
        return _cells(after.revision, old, new)
    if kind == "insertDimension":
        return _take_out(after.revision, new, where)
    if kind == "deleteDimension":
        return _put_back(where, moves, before, after)
    if kind == "moveDimension":
        return _move_back(after.revision, where, body["destinationIndex"])
    if kind in ("sortRange", "orderRows"):
        slots = sorted(body["rows"]) if kind == "orderRows" else range(where["startRowIndex"], where["endRowIndex"])
        rows = tuple(p for s in slots if (p := moves[0].place(s)) is not None)
        return Order(after.revision, sheet_id, rows, tuple(_broken_formulas(moves[:1], old, new)))
    return None


def _cells(revision: int, old: Tab, new: Tab) -> Step | None:
    cells: list[tuple[int, int, State, State]] = []
    height, width = len(old.values), len(old.columns)
    for row in range(len(new.values)):
        inside = row < height
        if inside and all(a[row] is b[row] for a, b in ((old.values, new.values), (old.formulas, new.formulas))):
            if old.styles[row] is new.styles[row]:
                continue
        for column in range(len(new.columns)):
            had = _state(old, row, column) if inside and column < width else _BLANK
            has = _state(new, row, column)
            if _content(had) != _content(has) or (had[2] != has[2] and inside):
                cells.append((row, column, has, had if inside else [*had[:2], has[2]]))
        if len(cells) > LARGEST:
            return None
    return Cells(revision, new.sheet_id, tuple(cells)) if cells else None


def _take_out(revision: int, new: Tab, where: Json) -> Step:
    dimension, start, end = where["dimension"], where.get("startIndex") or 0, where["endIndex"]
    lanes = tuple(
        tuple((at, _content(s)) for at, s in _lane(new, dimension, index) if _content(s) != _content(_BLANK))
        for index in range(start, end)
    )
    return TakeOut(revision, new.sheet_id, dimension, start, lanes)


def _put_back(where: Json, moves: Sequence[Move], before: Book, after: Book) -> Step | None:
    tab = before.tab(where.get("sheetId") or 0)
    assert tab is not None
    dimension, start, end = where["dimension"], where.get("startIndex") or 0, where["endIndex"]
    if (end - start) * (len(tab.columns) if dimension == "ROWS" else len(tab.values)) > LARGEST:
        return None
    lanes = tuple(_lane(tab, dimension, index) for index in range(start, end))
    kept = tuple((tab.rows if dimension == "ROWS" else tab.columns)[start:end])
    return PutBack(
        after.revision, tab.sheet_id, dimension, start, lanes, kept, tuple(_lost_formulas(moves, before, after))
    )


def _broken_formulas(moves: Sequence[Move], old: Tab, new: Tab) -> Iterator[tuple[int, int, State, State]]:
    """Formulas of one tab that say #REF! since it was sorted, where they stand now."""
    for r, c, text in old.cells_with_formulas():
        row = carried(r, moves, old.sheet_id, "ROWS")
        if row is not None and "#REF!" in new.formulas[row].get(c, "") and "#REF!" not in text:
            yield row, c, _state(new, row, c), _state(old, r, c)


def _lost_formulas(moves: Sequence[Move], before: Book, after: Book) -> Iterator[tuple[int, int, int, State, State]]:
    """Formulas that named what was deleted and say #REF! since, where they stand after it."""
    for tab in before.tabs:
        new = after.tab(tab.sheet_id)
        for r, c, text in tab.cells_with_formulas() if new else ():
            row = carried(r, moves, tab.sheet_id, "ROWS")
            column = carried(c, moves, tab.sheet_id, "COLUMNS")
            if new is None or row is None or column is None:
                continue
            if "#REF!" in new.formulas[row].get(column, "") and "#REF!" not in text:
                yield tab.sheet_id, row, column, _state(new, row, column), _state(tab, r, c)


def _move_back(revision: int, where: Json, target: int) -> Step:
    start, end = where.get("startIndex") or 0, where["endIndex"]
    count = end - start
    now = target if target <= start else target - count
    before = start + count if target <= start else start
    return MoveBack(revision, where.get("sheetId") or 0, where["dimension"], now, count, before)
