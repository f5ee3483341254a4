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
        "sheets": [_sheet(book, tab, places, grid_data, (tree or {}).get("sheets")) for tab in _tabs(book, places)],
        "spreadsheetUrl": url,
    }
    named = [_named(n) for n in book.named.values() if n.range is not None]
    if named:
        answer["namedRanges"] = named
    metadata = [m for m in book.metadata.values() if (m.get("location") or {}).get("locationType") == "SPREADSHEET"]
    if metadata:
        answer["developerMetadata"] = metadata
    return _kept(answer, tree, "sheets")


def _kept(message: Json, tree: mask.Mask | None, done: str) -> Json:
    """What the mask names of a message; its part `done` has been through it and is not walked again."""
    part = message.get(done)
    kept: Json = mask.keep({**message, done: ()} if part is not None else message, tree)
    return {**kept, done: part} if done in kept else kept


def _tabs(book: Book, places: Sequence[tuple[Tab, Box]]) -> list[Tab]:
    if not places:
        return book.tabs
    wanted = {tab.sheet_id for tab, _ in places}
    return [tab for tab in book.tabs if tab.sheet_id in wanted]


def _named(named: Any) -> Json:
    return {"namedRangeId": named.named_range_id, "name": named.name, "range": named.range}


def _sheet(book: Book, tab: Tab, places: Sequence[tuple[Tab, Box]], grid_data: bool, tree: mask.Mask | None) -> Json:
    """One tab; `tree` is the mask below `sheets`."""
    sheet: Json = {"properties": sheet_properties(book, tab)}
    if grid_data:
        boxes = [box for other, box in places if other.sheet_id == tab.sheet_id] or [tab.box]
        sheet["data"] = [grid(book, tab, box, (tree or {}).get("data")) for box in boxes]
    for name, part in (
        ("merges", tab.merges),
        ("protectedRanges", tab.protected),
        ("conditionalFormats", tab.conditional),
        ("basicFilter", tab.basic_filter),
        ("developerMetadata", _sheet_metadata(book, tab)),
    ):
        if part:
            sheet[name] = part
    return _kept(sheet, tree, "data")


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
        rows = _rows(tab, box, (tree or {}).get("rowData"), book.locale)
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
    return _kept(data, tree, "rowData")


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


def _rows(tab: Tab, box: Box, tree: mask.Mask | None, locale: Locale) -> list[Json]:
    """RowData of a box; `tree` is the mask below `rowData`."""
    blank: dict[int, Json] = {}  # empty cells by the style that they share: a formatted column has thousands
    rows = [_row(tab, row, box, (tree or {}).get("values"), locale, blank) for row in range(box.r0, box.r1)]
    while rows and not rows[-1]:
        rows.pop()
    return rows if mask.wants(tree, "values") else [{}] * len(rows)


def _row(tab: Tab, row: int, box: Box, tree: mask.Mask | None, locale: Locale, blank: dict[int, Json]) -> Json:
    values, styles, formulas = tab.values[row], tab.styles[row], tab.formulas[row]
    last = min(box.c1, max(len(values), len(styles), *(c + 1 for c in formulas), 0))
    cells: list[Json] = []
    for column in range(box.c0, last):
        value = values[column] if column < len(values) else ""
        style = styles[column] if column < len(styles) else None
        if value != "" or column in formulas:
            cells.append(_cell(value, style, formulas.get(column), tree, locale))
            continue
        if id(style) not in blank:
            blank[id(style)] = _cell("", style, None, tree, locale)
        cells.append(blank[id(style)])
    while cells and not cells[-1]:
        cells.pop()
    return {"values": cells} if cells else {}


def cell(tab: Tab, row: int, column: int, tree: mask.Mask | None = None, locale: Locale = ENGLISH) -> Json:
    """CellData of one cell, as far as the mask wants it; {} where there is nothing."""
    return _cell(tab.value(row, column), tab.style(row, column), tab.formulas[row].get(column), tree, locale)


def _cell(value: Value, style: Json | None, text: str | None, tree: mask.Mask | None, locale: Locale) -> Json:
    style = style or {}
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
