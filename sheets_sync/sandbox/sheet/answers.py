"""Workbooks as the API answers them: value ranges, and the Spreadsheet resource with its grid data.

Pure. What is empty, zero or false is left out where Google leaves it out; a list of cells is cut behind the last that
has anything, a list of rows likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import orjson

from sheets_sync.sandbox.sheet import a1, mask
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.conditions import behind_filter as behind_filter
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.grid import DEFAULT_HEIGHT, DEFAULT_WIDTH, Book, ErrorValue, Json, Tab, Value
from sheets_sync.sandbox.sheet.locales import ENGLISH, Locale
from sheets_sync.sandbox.sheet.tabs import sheet_properties

MANY = 4096  # cells from which on an answer is kept as JSON, for whoever reads it again
Cells = Sequence[Value]
Way = Callable[[Value], Value]
_WHITE, _BLACK = {"red": 1, "green": 1, "blue": 1}, {}  # type: tuple[Json, Json]
DEFAULT_FORMAT: Json = {
    "backgroundColor": _WHITE,
    "padding": {"top": 2, "right": 3, "bottom": 2, "left": 3},
    "verticalAlignment": "BOTTOM",
    "wrapStrategy": "OVERFLOW_CELL",
    "textFormat": {
        "foregroundColor": _BLACK,
        "fontFamily": "arial,sans,sans-serif",
        "fontSize": 10,
        "bold": False,
        "italic": False,
        "strikethrough": False,
        "underline": False,
        "foregroundColorStyle": {"rgbColor": _BLACK},
    },
    "backgroundColorStyle": {"rgbColor": _WHITE},
}
_THEME = (
    ("TEXT", _BLACK),
    ("BACKGROUND", _WHITE),
    ("ACCENT1", {"red": 0.25882354, "green": 0.52156866, "blue": 0.95686275}),
    ("ACCENT2", {"red": 0.91764706, "green": 0.2627451, "blue": 0.20784314}),
    ("ACCENT3", {"red": 0.9843137, "green": 0.7372549, "blue": 0.015686275}),
    ("ACCENT4", {"red": 0.20392157, "green": 0.65882355, "blue": 0.3254902}),
    ("ACCENT5", {"red": 1, "green": 0.42745098, "blue": 0.003921569}),
    ("ACCENT6", {"red": 0.27450982, "green": 0.7411765, "blue": 0.7764706}),
    ("LINK", {"red": 0.06666667, "green": 0.33333334, "blue": 0.8}),
)
DEFAULT_PROPERTIES: Json = {
    "locale": "en_US",
    "autoRecalc": "ON_CHANGE",
    "timeZone": "Etc/GMT",
    "defaultFormat": DEFAULT_FORMAT,
    "spreadsheetTheme": {
        "primaryFontFamily": "Arial",
        "themeColors": [{"colorType": kind, "color": {"rgbColor": colour}} for kind, colour in _THEME],
    },
}


# values


def value_range(
    tab: Tab, box: Box, render: str, major: str, dates: str = "SERIAL_NUMBER", locale: Locale = ENGLISH
) -> Json:
    """A ValueRange; `values` is left out where all cells are empty, and ready-made JSON where they are many."""
    answer: Json = {"range": a1.name_of(tab.title, box), "majorDimension": major}
    make = _values_once if box.height * box.width > MANY else _values
    values = make(tab, box, render, major, dates, locale)
    if values:
        answer["values"] = values
    return answer


@lru_cache(maxsize=32)
def _values_once(tab: Tab, box: Box, render: str, major: str, dates: str, locale: Locale) -> orjson.Fragment | None:
    """A tab that is published never changes, and whoever polls reads the same one again and again."""
    values = _values(tab, box, render, major, dates, locale)
    return orjson.Fragment(orjson.dumps(values)) if values else None


def _values(tab: Tab, box: Box, render: str, major: str, dates: str, locale: Locale) -> list[Cells]:
    """Lines without trailing empty cells, without trailing empty lines."""
    if major == "ROWS":
        lines = rendered(tab, box, render, dates, locale)
    elif _as_kept(tab, render, dates):
        lines = _columns(tab.values[box.r0 : box.r1], box.c0, box.c1)
    elif render == "FORMATTED_VALUE" and not _has_shapes(tab, box):
        text = _texts(locale)
        lines = [list(map(text, column)) for column in _columns(tab.values[box.r0 : box.r1], box.c0, box.c1)]
    else:
        lines = _columns(rendered(tab, box, render, dates, locale), 0, box.width)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def rendered(tab: Tab, box: Box, render: str, dates: str = "SERIAL_NUMBER", locale: Locale = ENGLISH) -> list[Cells]:
    """Rows of a box, each cut behind its last cell that is not empty."""
    rows = _cut(tab.values[box.r0 : box.r1], box.c0, box.c1, box.c1 >= len(tab.columns))
    if render == "FORMULA" and tab.has_formulas:
        return [_with_formulas(tab, box, i, row) for i, row in enumerate(rows)]
    dates_only = render == "UNFORMATTED_VALUE" and dates == "FORMATTED_STRING"
    if render != "FORMATTED_VALUE" and not dates_only:
        return list(rows)
    text = _as_it_is if dates_only else _texts(locale)
    if not _has_shapes(tab, box):
        return list(rows) if dates_only else [tuple(map(text, row)) for row in rows]
    ways: dict[int, list[Way]] = {}
    lines: list[Cells] = []
    for row, style in zip(rows, tab.styles[box.r0 : box.r1], strict=True):
        if id(style) not in ways:
            ways[id(style)] = [_way(cell, dates_only, locale) or text for cell in style[box.c0 : box.c1]]
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


def _as_kept(tab: Tab, render: str, dates: str) -> bool:
    """Whether values are answered as the tab keeps them: then nothing needs to be done for each cell."""
    return (render == "UNFORMATTED_VALUE" and dates == "SERIAL_NUMBER") or (
        render == "FORMULA" and not tab.has_formulas
    )


def _columns(rows: Sequence[Cells], c0: int, c1: int) -> list[Cells]:
    columns: list[Cells] = []
    for c in range(c0, c1):
        column = [row[c] if len(row) > c else "" for row in rows]
        while column and type(column[-1]) is str and not column[-1]:
            column.pop()
        columns.append(column)
    return columns


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


def _number_format(cell: Json | None) -> Json | None:
    return (cell.get("userEnteredFormat") or {}).get("numberFormat") if cell else None


def _has_shapes(tab: Tab, box: Box) -> bool:
    """Whether any cell has a number format; rows that look the same share one style."""
    styles = {id(style): style for style in tab.styles[box.r0 : box.r1] if style}
    return any(_number_format(cell) for style in styles.values() for cell in style[box.c0 : box.c1])


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
    shape = _number_format(cell)
    kind = (shape or {}).get("type")
    if kind in (None, "TEXT") or (dates_only and kind not in ("DATE", "TIME", "DATE_TIME")):
        return None
    kept = (str, bool) if dates_only else str
    return lambda value: value if isinstance(value, kept) else show(value, shape, locale)


def _as_it_is(value: Value) -> Value:
    return value


# the resource


def spreadsheet(
    book: Book, url: str, places: Sequence[tuple[Tab, Box]] = (), grid_data: bool = False, tree: mask.Mask | None = None
) -> Json:
    """The Spreadsheet resource; with `places`, only their tabs and cells; with a mask, only what that names."""
    if tree is not None:
        grid_data = "sheets" in tree and mask.wants(tree, "sheets", "data") and bool(tree["sheets"]) or "*" in tree
    answer: Json = {
        "spreadsheetId": book.spreadsheet_id,
        "properties": {**DEFAULT_PROPERTIES, **book.properties},
        "sheets": [_sheet(book, tab, places, grid_data, tree) for tab in _tabs(book, places)],
        "spreadsheetUrl": url,
    }
    named = [_named(n) for n in book.named.values() if n.range is not None]
    if named:
        answer["namedRanges"] = named
    metadata = [m for m in book.metadata.values() if (m.get("location") or {}).get("locationType") == "SPREADSHEET"]
    if metadata:
        answer["developerMetadata"] = metadata
    return answer if tree is None else mask.keep(answer, tree)


def _tabs(book: Book, places: Sequence[tuple[Tab, Box]]) -> list[Tab]:
    if not places:
        return book.tabs
    wanted = {tab.sheet_id for tab, _ in places}
    return [tab for tab in book.tabs if tab.sheet_id in wanted]


def _named(named: Any) -> Json:
    return {"namedRangeId": named.named_range_id, "name": named.name, "range": named.range}


def _sheet(book: Book, tab: Tab, places: Sequence[tuple[Tab, Box]], grid_data: bool, tree: mask.Mask | None) -> Json:
    sheet: Json = {"properties": sheet_properties(book, tab)}
    if grid_data:
        boxes = [box for other, box in places if other.sheet_id == tab.sheet_id] or [tab.box]
        below = ((tree or {}).get("sheets") or {}).get("data")
        sheet["data"] = [grid(book, tab, box, below) for box in boxes]
    for name, part in (
        ("merges", tab.merges),
        ("protectedRanges", tab.protected),
        ("conditionalFormats", tab.conditional),
        ("basicFilter", tab.basic_filter),
        ("developerMetadata", _sheet_metadata(book, tab)),
    ):
        if part:
            sheet[name] = part
    return sheet


def _sheet_metadata(book: Book, tab: Tab) -> list[Json]:
    places = ((m, m.get("location") or {}) for m in book.metadata.values())
    return [m for m, place in places if place.get("locationType") == "SHEET" and place.get("sheetId") == tab.sheet_id]


def grid(book: Book, tab: Tab, box: Box, tree: mask.Mask | None = None) -> Json:
    """GridData of a box; `tree` is the mask below `data`."""
    data: Json = {}
    if box.r0:
        data["startRow"] = box.r0
    if box.c0:
        data["startColumn"] = box.c0
    if mask.wants(tree, "rowData"):
        cells = ((tree or {}).get("rowData") or {}).get("values")
        rows = [_row(tab, r, box, cells, book.locale) for r in range(box.r0, box.r1)]
        while rows and not rows[-1]:
            rows.pop()
        if rows:
            data["rowData"] = rows
    if mask.wants(tree, "rowMetadata"):
        data["rowMetadata"] = [_dimension(tab.rows[r], DEFAULT_HEIGHT) for r in range(box.r0, box.r1)]
        for r in behind_filter(tab, book.locale):
            if box.r0 <= r < box.r1:
                data["rowMetadata"][r - box.r0]["hiddenByFilter"] = True
    if mask.wants(tree, "columnMetadata"):
        data["columnMetadata"] = [_dimension(tab.columns[c], DEFAULT_WIDTH) for c in range(box.c0, box.c1)]
    _hang_metadata(book, tab, box, data)
    return data


def _hang_metadata(book: Book, tab: Tab, box: Box, data: Json) -> None:
    for item in book.metadata.values():
        span = (item.get("location") or {}).get("dimensionRange")
        if not span or (span.get("sheetId") or 0) != tab.sheet_id:
            continue
        lane, start = ("rowMetadata", box.r0) if span.get("dimension") == "ROWS" else ("columnMetadata", box.c0)
        index = (span.get("startIndex") or 0) - start
        if lane in data and 0 <= index < len(data[lane]):
            data[lane][index] = {
                **data[lane][index],
                "developerMetadata": [*data[lane][index].get("developerMetadata", ()), item],
            }


def _dimension(kept: Json | None, size: int) -> Json:
    return {"pixelSize": size, **(kept or {})}


def _row(tab: Tab, row: int, box: Box, tree: mask.Mask | None, locale: Locale) -> Json:
    last = min(box.c1, max(len(tab.values[row]), len(tab.styles[row]), *(c + 1 for c in tab.formulas[row]), 0))
    cells = [cell(tab, row, column, tree, locale) for column in range(box.c0, last)]
    while cells and not cells[-1]:
        cells.pop()
    return {"values": cells} if cells else {}


def cell(tab: Tab, row: int, column: int, tree: mask.Mask | None = None, locale: Locale = ENGLISH) -> Json:
    """CellData of one cell, as far as the mask wants it; {} where there is nothing."""
    value, style, text = tab.value(row, column), tab.style(row, column) or {}, tab.formulas[row].get(column)
    answer: Json = {}
    if value != "" or text:
        answer["userEnteredValue"] = {"formulaValue": text} if text else _extended(value)
        answer["effectiveValue"] = _extended(value)
        answer["formattedValue"] = show(value, _number_format(style), locale)
    answer.update(style)
    if answer and mask.wants(tree, "effectiveFormat"):
        answer["effectiveFormat"] = _effective(style.get("userEnteredFormat") or {})
    kept: Json = mask.keep(answer, tree)
    return kept


def _effective(shape: Json) -> Json:
    text = {**DEFAULT_FORMAT["textFormat"], **(shape.get("textFormat") or {})}
    return {**DEFAULT_FORMAT, "hyperlinkDisplayType": "PLAIN_TEXT", **shape, "textFormat": text}


_ERRORS = {
    "#NAME?": "NAME",
    "#REF!": "REF",
    "#VALUE!": "VALUE",
    "#DIV/0!": "DIVIDE_BY_ZERO",
    "#ERROR!": "ERROR",
    "#NUM!": "NUM",
    "#N/A": "N_A",
}


_MESSAGES = {
    "#NAME?": "This name or function is not known here.",
    "#REF!": "This reference leads nowhere, or back to its own cell.",
    "#ERROR!": "Formula parse error.",
}


def _extended(value: Value) -> Json:
    if isinstance(value, ErrorValue):
        said = _MESSAGES.get(value, "This formula has no result.")
        return {"errorValue": {"type": _ERRORS.get(value, "ERROR"), "message": said}}
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"stringValue": value} if isinstance(value, str) else {"numberValue": value}
