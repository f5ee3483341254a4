"""Values of a tab as the API answers them, in any form that it offers. Pure, but for what it remembers.

Large ranges are remembered as JSON, a block of rows at a time: rows are never changed in place, so a block of the very
same rows reads the same, and a read after an edit renders only the blocks with new rows in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import is_

import orjson

from sheets_sync.sandbox.sheet import a1
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.grid import Formulas, Json, Style, Tab, Value
from sheets_sync.sandbox.sheet.locales import ENGLISH, Locale

MANY = 4096  # cells from which on an answer is remembered
BLOCK = 1000  # rows
MOST = 24  # ranges of one tab that are remembered at once
Cells = Sequence[Value]
Way = Callable[[Value], Value]


def value_range(
    tab: Tab, box: Box, render: str, major: str, dates: str = "SERIAL_NUMBER", locale: Locale = ENGLISH
) -> Json:
    """A ValueRange; `values` is left out where all cells are empty, and ready-made JSON where they are many."""
    answer: Json = {"range": a1.name_of(tab.title, box), "majorDimension": major}
    manner = Manner(render, major, dates, locale)
    values = _kept(tab, box, manner) if box.height * box.width > MANY else _values(tab, box, manner)
    if values:
        answer["values"] = values
    return answer


@dataclass(frozen=True, slots=True)
class Manner:
    """How values are wanted."""

    render: str
    major: str
    dates: str
    locale: Locale

    @property
    def as_kept(self) -> bool:
        """Whether values are answered as the tab keeps them, whatever their formats."""
        return self.render != "FORMATTED_VALUE" and self.dates == "SERIAL_NUMBER"


# many: kept as JSON, a block of rows at a time


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows, and what they were rendered to: for the one list of lines, or for each column, its JSON without brackets
    and how many empty ones follow."""

    values: list[list[Value]]
    styles: list[Style]
    formulas: list[Formulas]
    lanes: list[tuple[bytes, int]]

    def stands(self, other: _Block, manner: Manner) -> bool:
        """Whether the same rows are in the other block: the very objects, as rows never change."""
        return (
            _same(self.values, other.values)
            and (manner.as_kept or _same(self.styles, other.styles))
            and (manner.render != "FORMULA" or _same(self.formulas, other.formulas))
        )


def _same(one: Sequence[object], two: Sequence[object]) -> bool:
    return len(one) == len(two) and all(map(is_, one, two))


@dataclass(frozen=True, slots=True)
class _Kept:
    tab: Tab
    blocks: list[_Block]
    json: orjson.Fragment | None


def _kept(tab: Tab, box: Box, manner: Manner) -> orjson.Fragment | None:
    """The values' JSON. What was rendered before is used again, block by block, also for a later state of the tab."""
    key = box, manner
    old: _Kept | None = tab.renderings.get(key)
    if old is not None and old.tab is tab:
        return old.json
    blocks = []
    last = box.r1 if manner.render == "FORMULA" and tab.has_formulas else min(box.r1, tab.used_rows())
    for number, first in enumerate(range(box.r0, last, BLOCK)):
        part = Box(first, min(first + BLOCK, box.r1), box.c0, box.c1)
        rows = slice(part.r0, part.r1)
        block = _Block(tab.values[rows], tab.styles[rows], tab.formulas[rows], [])
        known = old.blocks[number] if old is not None and number < len(old.blocks) else None
        if known is None or not known.stands(block, manner):
            block.lanes.extend(_lanes(tab, part, manner))
            known = block
        blocks.append(known)
    json = _joined(blocks, manner.major == "COLUMNS")
    if len(tab.renderings) >= MOST:
        tab.renderings.clear()
    tab.renderings[key] = _Kept(tab, blocks, json)
    return json


def _lanes(tab: Tab, box: Box, manner: Manner) -> list[tuple[bytes, int]]:
    lines = _values(tab, box, manner)
    if manner.major == "ROWS":
        return [(orjson.dumps(lines)[1:-1], box.height - len(lines))]
    filled = [(orjson.dumps(column)[1:-1], box.height - len(column)) for column in lines]
    return filled + [(b"", box.height)] * (box.width - len(filled))


def _joined(blocks: list[_Block], columns: bool) -> orjson.Fragment | None:
    lanes = [_lane(lane, b'""' if columns else b"[]") for lane in zip(*(b.lanes for b in blocks), strict=True)]
    while lanes and lanes[-1] == b"[]":
        lanes.pop()
    if not lanes:
        return None
    return orjson.Fragment(b"[" + b",".join(lanes) + b"]" if columns else lanes[0])


def _lane(pieces: Sequence[tuple[bytes, int]], empty: bytes) -> bytes:
    """Pieces in a row, with the empty ones between them spelled out and those behind the last left out."""
    out: list[bytes] = []
    waiting = 0
    for piece, blanks in pieces:
        if piece:
            out += [empty] * waiting + [piece]
            waiting = 0
        waiting += blanks
    return b"[" + b",".join(out) + b"]"


# few: as lists


def rendered(tab: Tab, box: Box, render: str, dates: str = "SERIAL_NUMBER", locale: Locale = ENGLISH) -> list[Cells]:
    """Rows of a box, each cut behind its last cell that is not empty."""
    return _rows(tab, box, Manner(render, "ROWS", dates, locale))


def _values(tab: Tab, box: Box, manner: Manner) -> list[Cells]:
    """Lines without trailing empty cells, without trailing empty lines."""
    if manner.render != "FORMULA":  # of a thousand rows few are used
        box = replace(box, r1=max(box.r0, min(box.r1, tab.used_rows())))
    lines = _rows(tab, box, manner) if manner.major == "ROWS" else _columns(_rows(tab, box, manner), box.width)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _rows(tab: Tab, box: Box, manner: Manner) -> list[Cells]:
    rows = _cut(tab.values[box.r0 : box.r1], box.c0, box.c1, box.c1 >= len(tab.columns))
    if manner.render == "FORMULA" and tab.has_formulas:
        return [_with_formulas(tab, box, i, row) for i, row in enumerate(rows)]
    if manner.as_kept or manner.render == "FORMULA":
        return list(rows)
    dates_only = manner.render == "UNFORMATTED_VALUE"
    text = _as_it_is if dates_only else _texts(manner.locale)
    if not _has_shapes(tab, box):
        return list(rows) if dates_only else [tuple(map(text, row)) for row in rows]
    ways: dict[int, list[Way]] = {}
    lines: list[Cells] = []
    for row, style in zip(rows, tab.styles[box.r0 : box.r1], strict=True):
        if id(style) not in ways:
            ways[id(style)] = [_way(cell, dates_only, manner.locale) or text for cell in style[box.c0 : box.c1]]
        known = ways[id(style)]
        lines.append([known[i](value) if i < len(known) else text(value) for i, value in enumerate(row)])
    return lines


def _cut(rows: list[list[Value]], c0: int, c1: int, to_the_end: bool) -> list[list[Value]]:
    if c0 == 0 and to_the_end:
        return rows  # rows are kept cut, so they can be sent as they are
    cut = [row[c0:c1] for row in rows]
    for row in cut:
        while row and row[-1] == "" and type(row[-1]) is str:
            row.pop()
    return cut


def _columns(rows: Sequence[Cells], width: int) -> list[Cells]:
    if set(map(len, rows)) == {width}:
        columns = list(map(list, zip(*rows, strict=True)))
    else:
        columns = [[row[c] if len(row) > c else "" for row in rows] for c in range(width)]
    for column in columns:
        while column and type(column[-1]) is str and not column[-1]:
            column.pop()
    return list(columns)


def _with_formulas(tab: Tab, box: Box, index: int, row: list[Value]) -> list[Value]:
    texts = tab.formulas[box.r0 + index]
    if not texts:
        return row
    shown = row + [""] * (box.width - len(row))
    for column, text in texts.items():
        if box.c0 <= column < box.c1:
            shown[column - box.c0] = text
    while shown and shown[-1] == "":
        shown.pop()
    return shown


def number_format(cell: Json | None) -> Json | None:
    return (cell.get("userEnteredFormat") or {}).get("numberFormat") if cell else None


def _has_shapes(tab: Tab, box: Box) -> bool:
    """Whether any cell has a number format; rows that look the same share one style."""
    styles = {id(style): style for style in tab.styles[box.r0 : box.r1] if style}
    return any(number_format(cell) for style in styles.values() for cell in style[box.c0 : box.c1])


def _texts(locale: Locale) -> Way:
    """How cells without a number format are shown."""

    def text(value: Value) -> Value:
        kind = type(value)
        if kind is str:
            return value
        return str(value) if kind is int and -(10**15) < value < 10**15 else show(value, None, locale)  # type: ignore[operator]  # an int

    return text


def _way(cell: Json | None, dates_only: bool, locale: Locale) -> Way | None:
    """How a cell with that format is answered; None where as without one."""
    shape = number_format(cell)
    kind = (shape or {}).get("type")
    if kind in (None, "TEXT") or (dates_only and kind not in ("DATE", "TIME", "DATE_TIME")):
        return None
    kept = (str, bool) if dates_only else str
    return lambda value: value if isinstance(value, kept) else show(value, shape, locale)


def _as_it_is(value: Value) -> Value:
    return value
