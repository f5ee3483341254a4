"""What the page shows of a tab: texts, looks and locks, as plain JSON. Pure.

Cell: null where there is nothing, else {t: text, e: text to edit where it differs, s: index into styles, n: note,
r: 1 where it stands right, k: "check" or "list", v: ticked, o: choices}.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sheets_sync.sandbox.sheet import a1
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.answers import behind_filter
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.formula import Reckoner, shifted
from sheets_sync.sandbox.sheet.grid import DEFAULT_WIDTH, Book, ErrorValue, Json, Tab, Value

PAGE_ROWS = 2000  # rows that the page shows at once
SPARE_ROWS = 30  # empty rows shown below the last used one


def book_view(book: Book, sheet_id: int | None, first: int = 0) -> Json:
    """The workbook's tabs, and the rows of one of them from row index `first` on; of the first tab where it is None."""
    visible = [tab for tab in book.tabs if not tab.hidden]
    tab = next((tab for tab in visible if tab.sheet_id == sheet_id), visible[0])
    return {
        "spreadsheetId": book.spreadsheet_id,
        "title": book.properties["title"],
        "revision": book.revision,
        "tabs": [
            {"id": t.sheet_id, "title": t.title, "colour": _css_colour(t.properties.get("tabColor"))} for t in visible
        ],
        "sheet": tab_view(book, tab, first),
    }


def tab_view(book: Book, tab: Tab, first: int = 0) -> Json:
    """One tab as the page draws it."""
    frozen = min(tab.grid.get("frozenRowCount") or 0, len(tab.values))
    used = tab.used_rows()
    last = min(len(tab.values), max(first + PAGE_ROWS, 0), max(used + SPARE_ROWS, 50))
    indexes = [*range(min(frozen, first)), *range(first, max(last, min(first + 1, len(tab.values))))]
    painter, filtered = _Painter(book, tab), set(behind_filter(tab))
    columns = [c for c, kept in enumerate(tab.columns) if not (kept or {}).get("hiddenByUser")]
    rows = [
        {"i": row, "c": [painter.cell(row, column) for column in columns]}
        for row in indexes
        if row not in filtered and not (tab.rows[row] or {}).get("hiddenByUser")
    ]
    return {
        "id": tab.sheet_id,
        "title": tab.title,
        "rowCount": len(tab.values),
        "usedRows": used,
        "first": first,
        "pageRows": PAGE_ROWS,
        "frozenRows": frozen,
        "frozenColumns": tab.grid.get("frozenColumnCount") or 0,
        "columns": [_column(tab, column) for column in columns],
        "rows": rows,
        "styles": painter.styles,
        "merges": [
            [m.get(k) or 0 for k in ("startRowIndex", "endRowIndex", "startColumnIndex", "endColumnIndex")]
            for m in tab.merges
        ],
    }


def _column(tab: Tab, column: int) -> Json:
    width = (tab.columns[column] or {}).get("pixelSize") or DEFAULT_WIDTH
    lock = next((p for p in tab.protected if _covers(p.get("range") or {}, column)), None)
    shown: Json = {"i": column, "name": a1.letters(column), "width": width}
    if lock:
        shown["lock"] = lock.get("description") or "Protected"
    return shown


def _covers(grid_range: Json, column: int) -> bool:
    """Whole-column protection only: a single protected cell puts no lock on its column."""
    start, end = grid_range.get("startColumnIndex") or 0, grid_range.get("endColumnIndex")
    return grid_range.get("endRowIndex") is None and start <= column and (end is None or column < end)


@dataclass
class _Painter:
    """Cells of one tab; looks that are the same are sent once."""

    book: Book
    tab: Tab
    styles: list[Json] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reckoner = Reckoner(self.book)
        self.rules = [
            (self._boxes(rule), rule["booleanRule"]) for rule in self.tab.conditional if rule.get("booleanRule")
        ]

    def _boxes(self, rule: Json) -> list[Box]:
        size = len(self.tab.values), len(self.tab.columns)
        return [
            a1.Area(
                r.get("startRowIndex") or 0,
                r.get("endRowIndex"),
                r.get("startColumnIndex") or 0,
                r.get("endColumnIndex"),
            ).within(*size)
            for r in rule["ranges"]
        ]

    def cell(self, row: int, column: int) -> Json | None:
        value, kept = self.tab.value(row, column), self.tab.style(row, column) or {}
        shape = kept.get("userEnteredFormat") or {}
        text = show(value, shape.get("numberFormat"))
        shown: Json = {"t": text} if text else {}
        formula = self.tab.formulas[row].get(column)
        edit = formula or _edit_text(value, text, shape)
        if edit != text:
            shown["e"] = edit
        if not isinstance(value, str):
            shown["r"] = 1
        if kept.get("note"):
            shown["n"] = kept["note"]
        look = self._look(row, column, value, shape)
        if look:
            shown["s"] = self._style(look)
        shown.update(_input(kept.get("dataValidation") or {}, value))
        return shown or None

    def _look(self, row: int, column: int, value: Value, shape: Json) -> Json:
        for boxes, rule in self.rules:
            box = next((b for b in boxes if b.r0 <= row < b.r1 and b.c0 <= column < b.c1), None)
            if box and self._holds(rule.get("condition") or {}, row, column, value, box):
                over = rule.get("format") or {}
                text = {**(shape.get("textFormat") or {}), **(over.get("textFormat") or {})}
                shape = {**shape, **over, "textFormat": text}
                break
        return _css(shape)

    def _holds(self, condition: Json, row: int, column: int, value: Value, box: Box) -> bool:
        wanted = [str(v.get("userEnteredValue") or "") for v in condition.get("values") or ()]
        kind = condition.get("type") or ""
        if kind == "CUSTOM_FORMULA" and wanted:
            return self.reckoner.work_out(self.tab, shifted(wanted[0], row - box.r0, column - box.c0)) is True
        return _condition(kind, value, wanted)

    def _style(self, look: Json) -> int:
        key = repr(sorted(look.items()))
        if key not in self.known:
            self.known[key] = len(self.styles)
            self.styles.append(look)
        return self.known[key]


def _edit_text(value: Value, text: str, shape: Json) -> str:
    """What the editor opens with: what typed again gives the same value."""
    if isinstance(value, ErrorValue) or value == "":
        return text
    kind = (shape.get("numberFormat") or {}).get("type")
    if isinstance(value, str):
        return f"'{value}" if kind != "TEXT" and value[0] in "='+" else value
    return text if kind in ("DATE", "TIME", "DATE_TIME", "PERCENT", "CURRENCY") else show(value)


def _input(rule: Json, value: Value) -> Json:
    condition = rule.get("condition") or {}
    if condition.get("type") == "BOOLEAN":
        return {"k": "check", "v": value is True}
    if condition.get("type") == "ONE_OF_LIST":
        choices = [str(v.get("userEnteredValue") or "") for v in condition.get("values") or ()]
        return {"k": "list", "o": choices, **({"x": 1} if rule.get("strict") else {})}
    return {}


def _condition(kind: str, value: Value, wanted: list[str]) -> bool:
    if kind in ("BLANK", "NOT_BLANK"):
        return (value == "") == (kind == "BLANK")
    if kind.startswith("NUMBER_"):
        return not isinstance(value, (str, bool)) and _number_condition(kind, value, wanted)
    text = show(value).casefold()
    one = wanted[0].casefold() if wanted else ""
    return bool(
        {
            "TEXT_CONTAINS": one in text,
            "TEXT_NOT_CONTAINS": one not in text,
            "TEXT_STARTS_WITH": text.startswith(one),
            "TEXT_ENDS_WITH": text.endswith(one),
            "TEXT_EQ": text == one,
        }.get(kind)
    )


def _number_condition(kind: str, value: float, wanted: list[str]) -> bool:
    try:
        bounds = [float(text) for text in wanted]
    except ValueError:
        return False
    if not bounds:
        return False
    low, high = bounds[0], bounds[-1]
    return {
        "NUMBER_LESS": value < low,
        "NUMBER_LESS_THAN_EQ": value <= low,
        "NUMBER_GREATER": value > low,
        "NUMBER_GREATER_THAN_EQ": value >= low,
        "NUMBER_EQ": value == low,
        "NUMBER_NOT_EQ": value != low,
        "NUMBER_BETWEEN": low <= value <= high,
        "NUMBER_NOT_BETWEEN": not low <= value <= high,
    }.get(kind, False)


def _css_colour(colour: Any) -> str | None:
    if not isinstance(colour, dict):
        return None
    return "#" + "".join(
        f"{round(255 * min(1.0, max(0.0, float(colour.get(c) or 0)))):02x}" for c in ("red", "green", "blue")
    )


def _css(shape: Json) -> Json:
    """The format as CSS properties; only what the page draws."""
    text = shape.get("textFormat") or {}
    look = {
        "backgroundColor": _css_colour(shape.get("backgroundColor")),
        "color": _css_colour(text.get("foregroundColor")),
        "fontWeight": "600" if text.get("bold") else None,
        "fontStyle": "italic" if text.get("italic") else None,
        "textDecoration": "line-through" if text.get("strikethrough") else None,
        "textAlign": (shape.get("horizontalAlignment") or "").lower() or None,
        "whiteSpace": "pre-wrap" if shape.get("wrapStrategy") == "WRAP" else None,
    }
    if look["backgroundColor"] == "#ffffff":
        look["backgroundColor"] = None
    return {name: value for name, value in look.items() if value}
