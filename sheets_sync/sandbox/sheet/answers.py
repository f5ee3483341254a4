"""Workbooks as the API answers them: the Spreadsheet resource with its grid data. Values are in `rendering`.

Pure. What is empty, zero or false is left out where Google leaves it out; a list of cells is cut behind the last that
has anything, a list of rows likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sheets_sync.sandbox.sheet import mask
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.conditions import behind_filter as behind_filter
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.grid import DEFAULT_HEIGHT, DEFAULT_WIDTH, Book, ErrorValue, Json, Tab, Value
from sheets_sync.sandbox.sheet.locales import ENGLISH, Locale
from sheets_sync.sandbox.sheet.rendering import number_format
from sheets_sync.sandbox.sheet.rendering import rendered as rendered
from sheets_sync.sandbox.sheet.tabs import sheet_properties

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
        answer["formattedValue"] = show(value, number_format(style), locale)
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
